"""Kills at seeded moments of a pull: no wrong model is ever listed, the next run completes, little is fetched twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from subject import Started, Starter, simulated

from reaper_ops.adapters.registry import Registry as Asked
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import from_manifest
from reaper_ops.lab import models
from reaper_ops.lab.registry import LabRegistry

MODULE = "ollama_pull"
SEEDS = range(int(os.environ.get("REAPER_OPS_KILLS") or 3))
PART = 65536


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return simulated(tmp_path_factory.mktemp("release"))


@pytest.fixture
def starter(program: list[str], tmp_path: Path) -> Iterator[Starter]:
    found = Starter("simulated", program, tmp_path)
    yield found
    found.stop()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LabRegistry]:
    models.publish(tmp_path / "registry")
    found = LabRegistry(tmp_path / "registry").start()
    yield found
    found.stop()


def request(registry: LabRegistry) -> dict[str, Any]:
    """From the namespace whose bytes are slow, so that there is a middle to be killed in."""
    name, port = f"{registry.name}/slow/tiny:latest", registry.name.rpartition(":")[2]
    with Asked(f"http://{registry.name}") as asked:
        found = asked.manifest(names.split(name))
    one = from_manifest(name, found.data, found.digest, found.url, "now")
    return {
        "models": [name],
        "locked": {name: {"digest": one.digest, "blobs": one.blobs}},
        "sources": {name: f"localhost:{port}/slow/tiny:latest"},
        "insecure_registries": [registry.name, f"localhost:{port}"],
        "retries": 0,
        "min_free": 0,
    }


@pytest.mark.parametrize("left", ["", '{"N":0,"Off'])
def test_the_note_of_a_part_that_a_kill_cut_off_does_not_stop_the_next_pull(
    left: str, module: Any, starter: Starter, registry: LabRegistry, tmp_path: Path
) -> None:
    store, given = tmp_path / "store", request(registry)
    server = start(starter, store)
    entry = given["locked"][given["models"][0]]
    largest = max(entry["blobs"], key=entry["blobs"].get).replace(":", "-")
    (store / "blobs" / f"{largest}-partial").write_bytes(b"x")
    (store / "blobs" / f"{largest}-partial-0").write_text(left)
    assert "EOF" in module.fails(**given, url=server.subject.url)
    done = module(**given, url=server.subject.url, models_dir=str(store))
    assert "a kill damaged its progress file" in done["models"][0]["notes"][0]
    assert listed(server) == {given["models"][0]: entry["digest"].removeprefix("sha256:")}
    assert wrong_blobs(store) == []


def start(starter: Starter, store: Path) -> Started:
    started = starter.start(OLLAMA_MODELS=str(store), REAPER_OPS_LAB_PART_BYTES=str(PART), OLLAMA_NOPRUNE="1")
    started.wait_ready()
    return started


def listed(server: Started) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in server.subject.ask("GET", "/api/tags").json()["models"]}


def wrong_blobs(store: Path) -> list[str]:
    found = [path for path in (store / "blobs").glob("sha256-*") if "partial" not in path.name]
    return [path.name for path in found if hashlib.sha256(path.read_bytes()).hexdigest() != path.name[7:]]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_pull_leaves_nothing_wrong_and_goes_on(
    seed: int, module: Any, starter: Starter, registry: LabRegistry, tmp_path: Path
) -> None:
    chance, store, given = random.Random(seed), tmp_path / "store", request(registry)
    entry = given["locked"][given["models"][0]]
    right = entry["digest"].removeprefix("sha256:")
    record, lock = str(tmp_path / "pulls.json"), str(tmp_path / "pull.lock")
    kills = 0
    for _ in range(3):
        server = start(starter, store)
        started = module.start(**given, url=server.subject.url, record=record, lock_file=lock)
        time.sleep(chance.uniform(0.2, 1.2))
        kills += started.process.poll() is None
        victim = chance.choice([server.process.pid, started.process.pid])
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if victim == server.process.pid:
            started.end()
        started.process.communicate()
        server.stop()
    server = start(starter, store)
    assert set(listed(server).values()) <= {right}
    done = module(**given, url=server.subject.url, record=record, lock_file=lock, models_dir=str(store))
    assert not done.get("failed"), done["msg"]
    assert listed(server) == {given["models"][0]: right}
    assert wrong_blobs(store) == []
    assert registry.bytes_sent <= sum(entry["blobs"].values()) + kills * 16 * PART
