"""A fleet in namespaces: an inventory whose hosts are reached by a Python of their own, and `models pull` over it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror import site, wires
from mirror.wires import Host, Internet, Mirror, Wires

from reaper_ops.core.models import lock
from reaper_ops.core.models.lock import Locked, from_manifest

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class SpaceFleet:
    root: Path
    wires: Wires
    internet: Internet
    mirror: Mirror
    hosts: list[Host]

    @property
    def inventory(self) -> Path:
        return self.root / "hosts.yml"

    def publish(self, name: str, size: int) -> Locked:
        """A model at the registry and in the lock, the only one that every host wants."""
        digest = site.publish(self.internet.root, f"library/{name}", size)
        data = (self.internet.root / f"manifests/library/{name.replace(':', '/')}").read_bytes()
        found = from_manifest(name, data, f"sha256:{digest}", f"http://{name}", "2026-01-01T00:00:00Z")
        (self.root / "models.lock").write_text(lock.dump(lock.Lock((found,))))
        hosts = {f"h{number}": self._reached(host) for number, host in enumerate(self.hosts)}
        shared = {
            "ansible_connection": "local",
            "ollama_runtime": "process",
            "ollama_mirror": f"http://{wires.MIRROR}:{wires.PORT}",
            "ollama_models": [name],
        }
        self.inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
        return found

    def _reached(self, host: Host) -> dict[str, Any]:
        (host.home / "reaper_ops").mkdir(parents=True, exist_ok=True)
        interpreter = wires.python(host.space, self.root)
        where = {"ollama_port": host.port, "ollama_home": str(host.home), "ollama_models_dir": str(host.store)}
        return {"ansible_python_interpreter": str(interpreter), **where}

    def pull(self, *words: str) -> subprocess.Popen[str]:
        """The controller, as a program of its own."""
        argv = [sys.executable, "-m", "reaper_ops", "models", "pull", "-i", str(self.inventory), "-o", "json", *words]
        env = {"PATH": site.PATH, "HOME": str(self.root), "PYTHONPATH": str(REPOSITORY), "LC_ALL": "C.UTF-8"}
        out, err = (self.root / "out").open("w"), (self.root / "err").open("w")
        with out, err:
            return subprocess.Popen(argv, stdout=out, stderr=err, text=True, env=env, cwd=self.root)

    def said(self) -> str:
        return (self.root / "out").read_text() + (self.root / "err").read_text()


@contextmanager
def space_fleet(
    root: Path, program: list[str], hosts: int, *, lan: str, wan: str, piece: int, **variables: str
) -> Iterator[SpaceFleet]:
    with wires.wires(hosts, lan, wan) as net:
        mirror = Mirror(net, root / "m", piece)
        internet = Internet(root / "upstream", net.upstream)
        internet.start()
        started = [Host(space, 11434 + n, program, root / f"h{n}", **variables) for n, space in enumerate(net.hosts)]
        found = SpaceFleet(root, net, internet, mirror, started)
        try:
            for one in started:
                one.wait()
            yield found
        finally:
            for one in started:
                one.server.stop()
            mirror.kill()
            found.internet.kill()
