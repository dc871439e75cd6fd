"""ollama_pull with a lock and a mirror, on simulated servers and a registry whose faults have names."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from subject import Starter, Subject, simulated

from reaper_ops.adapters.registry import Registry as Asked
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import from_manifest
from reaper_ops.lab import models
from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry

MODULE = "ollama_pull"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return simulated(tmp_path_factory.mktemp("release"))


@pytest.fixture
def starter(program: list[str], tmp_path: Path) -> Iterator[Starter]:
    found = Starter("simulated", program, tmp_path)
    yield found
    found.stop()


@pytest.fixture
def server(starter: Starter) -> Subject:
    return starter.start(REAPER_OPS_LAB_PATIENCE="0.01").wait_ready()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LabRegistry]:
    models.publish(tmp_path / "registry")
    found = LabRegistry(tmp_path / "registry").start()
    yield found
    found.stop()


def move(registry: LabRegistry, seed: int = 9) -> None:
    (registry.root / "manifests/library/tiny/latest").unlink()
    models.publish(registry.root, {"library/tiny:latest": gguf.Shape("tiny", seed=seed)})


def locked(registry: LabRegistry, name: str) -> dict[str, Any]:
    with Asked(f"http://{registry.name}") as asked:
        found = asked.manifest(names.split(f"{registry.name}/library/tiny"))
    one = from_manifest(name, found.data, found.digest, found.url, "now")
    return {"digest": one.digest, "blobs": one.blobs}


def args(
    server: Subject, registry: LabRegistry, namespace: str = "library", mirror: str = "localhost"
) -> dict[str, Any]:
    """The model by its own name, its lock, and the mirror that has it under another."""
    name, port = f"{registry.name}/{namespace}/tiny:latest", registry.name.rpartition(":")[2]
    given = {
        "models": [name],
        "url": server.url,
        "locked": {name: locked(registry, name)},
        "insecure_registries": [registry.name, f"localhost:{port}"],
        "retries": 0,
        "min_free": 0,
        "stall_timeout": 2,
    }
    return {**given, "sources": {name: f"{mirror}:{port}/{namespace}/tiny:latest"}} if mirror else given


def listed(server: Subject) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in server.ask("GET", "/api/tags").json()["models"]}


def promised(given: dict[str, Any]) -> dict[str, str]:
    return {name: entry["digest"].removeprefix("sha256:") for name, entry in given["locked"].items()}


def test_a_mirror_gives_the_bytes_and_the_model_keeps_its_own_name(module: Any, server: Any, registry: Any) -> None:
    given = args(server, registry)
    done = module.predicted(**given)
    assert listed(server) == promised(given)
    assert done["models"][0]["digest"] == promised(given)[given["models"][0]]
    served = registry.bytes_sent
    assert not module(**given)["changed"]
    assert registry.bytes_sent == served


def test_a_moved_tag_is_told_before_a_byte_is_fetched(module: Any, server: Any, registry: Any) -> None:
    for mirror in ("", "localhost"):
        given = args(server, registry, mirror=mirror)
        move(registry, seed=20 + len(mirror))
        said = module.fails(**given)
        assert "differs from the lock" in said
        assert "`reaper-ops models update`" in said
    assert listed(server) == {}
    assert registry.bytes_sent == 0


def test_a_lock_that_moved_replaces_the_old_version_and_its_blobs(
    module: Any, starter: Any, registry: Any, tmp_path: Path
) -> None:
    started = starter.start()
    server = started.wait_ready()
    module(**args(server, registry))
    before = set(os.listdir(started.models / "blobs"))
    move(registry)
    given = args(server, registry)
    done = module.predicted(**given)
    assert done["changed"]
    assert listed(server) == promised(given)
    left = set(os.listdir(started.models / "blobs"))
    assert left == {digest.replace(":", "-") for digest in given["locked"][given["models"][0]]["blobs"]}
    assert left != before


FAULTS = {
    "err401": "credentials",
    "err404": "check the name of the model and its tag",
    "err412": "raise ollama_version",
    "err429": "the registry limits the rate; run again later",
    "err500": "run again",
    "mismatch": "damaged data",
    "stall": "stalled: no new byte",
    "trunc": "max retries exceeded",
    "cdn500": "max retries exceeded",
    "html": "run again",
    "longmanifest": "run again",
    "shortmanifest": "run again",
    "blob401": "credentials",
    "blob404": "check the name of the model and its tag",
    "blob412": "raise ollama_version",
    "blob429": "the registry limits the rate; run again later",
    "blob500": "run again",
    "get500": "sends no complete answer",
    "cdn401": "sends no complete answer",
    "cdn404": "sends no complete answer",
    "cdn412": "sends no complete answer",
    "cdn429": "sends no complete answer",
    "longhead": "sends no complete answer",
    "shorthead": "damaged data",
    "shortbody": "sends no complete answer",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_registry_does_wrong_is_said_and_leaves_no_name(
    fault: str, module: Any, server: Any, registry: Any
) -> None:
    said = module.fails(**args(server, registry, namespace=fault))
    assert FAULTS[fault] in said
    assert listed(server) == {}


def test_a_full_disk_is_said_and_the_next_run_completes(
    module: Any, starter: Any, registry: Any, tmp_path: Any
) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"disk-full": {"after_bytes": 65536}}))
    server = starter.start(REAPER_OPS_LAB_FAULTS=str(faults)).wait_ready()
    given = args(server, registry)
    said = module.fails(**given)
    assert "no space left on device" in said
    assert "free space in the model store" in said
    assert listed(server) == {}
    faults.write_text("{}")
    assert module(**given)["changed"]
    assert listed(server) == promised(given)


@pytest.mark.parametrize("old", [False, True])
def test_a_run_that_was_killed_while_naming_is_tidied_up(module: Any, server: Any, registry: Any, old: bool) -> None:
    given = args(server, registry)
    name, source = given["models"][0], next(iter(given["sources"].values()))
    server.pull(source)
    server.ask("POST", "/api/copy", {"source": source, "destination": name})
    if old:
        server.ask("POST", "/api/copy", {"source": source, "destination": source.replace("latest", "reaper-ops-old")})
    assert module(**given)["changed"]
    assert listed(server) == promised(given)
    assert not module(**given)["changed"]


def test_a_mirrors_name_that_is_wanted_itself_stays(module: Any, server: Any, registry: Any) -> None:
    given = args(server, registry)
    given["models"].append(next(iter(given["sources"].values())))
    assert module(**given)["changed"]
    assert sorted(listed(server)) == sorted(given["models"])


def test_a_second_controller_is_told_who_holds_the_host(
    module: Any, server: Any, registry: Any, tmp_path: Path
) -> None:
    lock = tmp_path / "pull.lock"
    lock.write_text(json.dumps({"owner": "ada@control1", "since": int(time.time()) - 90, "pid": 4711}))
    given = {**args(server, registry), "lock_file": str(lock), "owner": "bob@control2"}
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = module.fails(**given)
    assert "another pull is running on this host, by ada@control1 for 9" in said
    assert "process 4711); wait for it to end" in said
    assert listed(server) == {}
    assert module(**given)["changed"]
    assert lock.read_text() == ""


def test_the_same_controller_waits_for_its_own_earlier_run(
    module: Any, server: Any, registry: Any, tmp_path: Path
) -> None:
    lock = tmp_path / "pull.lock"
    lock.write_text(json.dumps({"owner": "ada@control1", "since": int(time.time()), "pid": 4711}))
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        started = module.start(**args(server, registry), lock_file=str(lock), owner="ada@control1")
        threading.Timer(1.5, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()
        assert started.end()["changed"]


def test_a_lock_left_by_a_killed_run_stops_nobody(module: Any, server: Any, registry: Any, tmp_path: Path) -> None:
    lock = tmp_path / "pull.lock"
    lock.write_text("half a li")
    assert module(**args(server, registry), lock_file=str(lock), owner="x")["changed"]


def test_a_lock_that_an_earlier_version_left_in_the_list_goes_and_stops_nobody(
    module: Any, server: Any, registry: Any
) -> None:
    left = {"model": "reaper-ops/lock:ann-desk.1-a", "from": "x/1-a", "remote_host": "http://127.0.0.1:9"}
    assert server.ask("POST", "/api/create", {**left, "stream": False}).status == 200
    given = args(server, registry)
    assert module(**given)["changed"]
    assert listed(server) == promised(given)
