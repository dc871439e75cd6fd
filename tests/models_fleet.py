"""A small fleet for the tests of `models`: simulated servers, a registry, and the inventory that names them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subject import Started, Starter, free_port, simulated

from reaper_ops.lab import models
from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry


@dataclass
class Fleet:
    root: Path
    registry: LabRegistry
    servers: dict[str, Started]

    @property
    def inventory(self) -> str:
        return str(self.root / "hosts.yml")

    @property
    def lock(self) -> Path:
        return self.root / "models.lock"

    def name(self, model: str) -> str:
        return f"{self.registry.name}/library/{model}:latest"

    def write(self, *wanted: str, **variables: Any) -> str:
        """The inventory: every server, and a host on which nothing listens."""
        ports = {name: int(one.subject.url.rpartition(":")[2]) for name, one in self.servers.items()}
        hosts = {name: self._host(name, port) for name, port in {**ports, "silent": free_port()}.items()}
        shared = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ollama_runtime": "process",
            "ollama_insecure_registries": [self.registry.name],
            "ollama_models": [self.name(one) for one in wanted],
        }
        (self.root / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts, "vars": {**shared, **variables}}}))
        return self.inventory

    def _host(self, name: str, port: int) -> dict[str, Any]:
        home = self.root / "homes" / name
        (home / "reaper_ops").mkdir(parents=True, exist_ok=True)
        return {"ollama_port": port, "ollama_home": str(home), "ollama_models_dir": str(home / "models")}

    def mirror(self) -> dict[str, Any]:
        """Settings under which the registry's second name is the site mirror."""
        port = self.registry.name.rpartition(":")[2]
        return {"ollama_mirror": f"http://localhost:{port}", "ollama_mirror_registries": [self.registry.name]}

    def listed(self, host: str) -> dict[str, str]:
        answer = self.servers[host].subject.ask("GET", "/api/tags").json()
        return {row["name"]: row["digest"] for row in answer["models"]}

    def promised(self) -> dict[str, str]:
        entries = json.loads(self.lock.read_text())["models"]
        return {name: entry["digest"].removeprefix("sha256:") for name, entry in entries.items()}

    def seed(self, host: str, *wanted: str) -> Path:
        """Puts models into the store of a host, as a pull would have left them."""
        store = self.root / "homes" / host / "models"
        for model in wanted:
            data = (self.registry.root / "manifests/library" / model / "latest").read_bytes()
            target = store / "manifests" / self.registry.name / "library" / model / "latest"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            document = json.loads(data)
            for row in (document["config"], *document["layers"]):
                file = row["digest"].replace(":", "-")
                (store / "blobs").mkdir(exist_ok=True)
                (store / "blobs" / file).write_bytes((self.registry.root / "blobs" / file).read_bytes())
        return store

    def move(self, model: str, seed: int = 9) -> None:
        (self.registry.root / "manifests/library" / model / "latest").unlink()
        models.publish(self.registry.root, {f"library/{model}:latest": gguf.Shape(model, seed=seed)})


@contextmanager
def fleet(root: Path, *hosts: str, program: list[str] | None = None) -> Iterator[Fleet]:
    models.publish(root / "registry")
    registry = LabRegistry(root / "registry").start()
    starter = Starter("simulated", program or simulated(root / "tree"), root / "servers")
    try:
        servers = {
            host: starter.start(OLLAMA_MODELS=str(root / "homes" / host / "models"), REAPER_OPS_LAB_PATIENCE="0.01")
            for host in hosts
        }
        for one in servers.values():
            one.wait_ready()
        yield Fleet(root, registry, servers)
    finally:
        starter.stop()
        registry.stop()
