"""Seeded kills of controller, server, mirror and link during pulls of eight hosts by `models pull`.

A round is one new model. At moments that its seed draws, as shares of the bytes that have passed, every server is
killed and every cable cut, the mirror twice, and the controller once; then the pull is run again and completes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mirror import site, wires
from mirror.space_fleet import SpaceFleet, space_fleet
from mirror.wires import Host
from subject import simulated

from reaper_ops.core.models.lock import Locked

HOSTS = 8
ROUNDS = int(os.environ.get("REAPER_OPS_KILL_ROUNDS") or 2)
SIZE, PART = 6 << 20, 32 << 10
IN_FLIGHT = 16 * PART
LOOK = 128 << 10
"""What is on its way when a server asks where the bytes are and hangs up, as Ollama does before each blob."""
HEADERS = 1.06
KILLS = 2 * HOSTS + 3
MISSED = 3
"""Moments that a pull may have passed before its killer looked, on a machine that does other things too."""


def torn(store: Path) -> bool:
    """Whether Ollama was killed while it wrote or removed the files of its parts, one after the other.

    It takes those that are left for the whole blob, finds the digest wrong at the end, and fetches all of it again.
    """
    sizes = []
    for path in (store / "blobs").glob("*-partial-*"):
        with contextlib.suppress(ValueError):
            sizes.append(json.loads(path.read_text())["Size"])
    return bool(sizes) and sum(sizes) < SIZE


class Kills:
    """The kills of one round, each in a thread that waits for its moment."""

    def __init__(self, fleet: SpaceFleet, seed: int) -> None:
        self._fleet, self._chance = fleet, random.Random(seed)
        self.done: Counter[str] = Counter()
        self.hurt: Counter[int] = Counter()
        self.torn: Counter[int] = Counter()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def at(self, kind: str, space: str, device: str, after: int, kill: Callable[[], None]) -> None:
        with wires.within(space):
            due = sum(wires.passed(device)) + after
        thread = threading.Thread(target=self._one, args=(kind, space, device, due, kill))
        self._threads.append(thread)
        thread.start()

    def _one(self, kind: str, space: str, device: str, due: int, kill: Callable[[], None]) -> None:
        with wires.within(space):
            while sum(wires.passed(device)) < due:
                if self._over.wait(0.02):
                    return
        kill()
        self.done[kind] += 1

    def plan(self, controller: Callable[[], None]) -> None:
        fleet, chance = self._fleet, self._chance
        for number, host in enumerate(fleet.hosts):
            first, later = int(chance.uniform(0.05, 0.4) * SIZE), int(chance.uniform(0.5, 0.9) * SIZE)
            server, link = (first, later) if chance.random() < 0.5 else (later, first)
            self.at("server", host.space, "eth0", server, lambda n=number: self._server(n))
            pause = chance.uniform(0.3, 1.5)
            self.at("link", host.space, "eth0", link, lambda n=number, p=pause: self._link(n, p))
        for low, high in ((0.1, 0.4), (0.5, 0.8)):
            after = int(chance.uniform(low, high) * HOSTS * SIZE)
            self.at("mirror", fleet.mirror.space, "eth0", after, self._mirror)
        share = chance.uniform(0.2, 0.9)
        self.at("controller", fleet.mirror.space, "eth0", int(share * HOSTS * SIZE), controller)

    def _server(self, number: int) -> None:
        self.hurt[number] += 1
        self._fleet.hosts[number].kill()
        self.torn[number] += torn(self._fleet.hosts[number].store)
        time.sleep(0.2)
        self._fleet.hosts[number].again()

    def _link(self, number: int, pause: float) -> None:
        self.hurt[number] += 1
        self._fleet.wires.link(number, "down")
        time.sleep(pause)
        self._fleet.wires.link(number, "up")

    def _mirror(self) -> None:
        self.hurt.update(range(HOSTS))
        self._fleet.mirror.kill()
        time.sleep(0.3)
        self._fleet.mirror.start()

    def end(self) -> None:
        for thread in self._threads:
            thread.join(60)
        self._over.set()


class Watch:
    """Looks at every store again and again: what has a name must be whole and right, at every moment."""

    def __init__(self, hosts: list[Host]) -> None:
        self.wrong: list[str] = []
        self._hosts, self._over, self._seen = hosts, threading.Event(), set[tuple[Path, int]]()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            self.look()

    def look(self) -> None:
        for host in self._hosts:
            with contextlib.suppress(FileNotFoundError):
                for path in (host.store / "manifests").glob("*/*/*/*"):
                    self._manifest(host, path)

    def _manifest(self, host: Host, path: Path) -> None:
        with contextlib.suppress(ValueError):
            manifest = json.loads(path.read_bytes())
            for row in (manifest["config"], *manifest["layers"]):
                self._blob(host.store / "blobs" / row["digest"].replace(":", "-"), path)

    def _blob(self, blob: Path, path: Path) -> None:
        mark = (blob, blob.stat().st_mtime_ns) if blob.exists() else (blob, 0)
        if mark in self._seen:
            return
        if not blob.exists() or hashlib.sha256(blob.read_bytes()).hexdigest() != blob.name[7:]:
            if path.exists():
                self.wrong.append(f"{path}: {blob.name}")
            return
        self._seen.add(mark)

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self.look()


def descendants(pid: int) -> list[int]:
    """Pids below this one; a pull on a host is none of them, it runs in the background there."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def kill_controller(pid: int, whole: bool) -> None:
    """The program alone, or with all that it started: as when its machine goes."""
    for victim in [pid, *(descendants(pid) if whole else [])]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


@pytest.fixture(scope="module")
def fleet() -> Iterator[SpaceFleet]:
    if reason := site.why_not() or wires.why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="rk-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        variables = {"REAPER_OPS_LAB_PART_BYTES": str(PART), "REAPER_OPS_LAB_PATIENCE": "0.1"}
        tree = simulated(root / "tree")
        with space_fleet(root, tree, HOSTS, lan="12mbit", wan="200mbit", piece=PART, **variables) as found:
            yield found


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter[str]]:
    found: Counter[str] = Counter()
    yield found
    print(f"kills during pulls: {sum(found.values())} ({', '.join(f'{n} {k}' for k, n in sorted(found.items()))})")


def received(fleet: SpaceFleet) -> list[int]:
    found = []
    for host in fleet.hosts:
        with wires.within(host.space):
            found.append(wires.passed("eth0")[0])
    return found


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_nothing_wrong_is_listed_and_the_next_run_completes(seed: int, fleet: SpaceFleet, tally: Counter[str]) -> None:
    name = f"big{seed}:1"
    model = fleet.publish(name, SIZE)
    before, sent = received(fleet), fleet.internet.bytes_sent
    watch, kills = Watch(fleet.hosts), Kills(fleet, seed)
    try:
        kills.plan(lambda: kill_controller(controller.pid, bool(seed % 2)))
        controller = fleet.pull("--stall-timeout", "10", "--retries", "6")
        controller.wait(timeout=300)
        kills.end()
        again = fleet.pull("--stall-timeout", "10", "--retries", "6")
        assert again.wait(timeout=300) == 0, fleet.said()
    finally:
        kills.end()
        watch.end()
    tally.update(kills.done)
    assert sum(kills.done.values()) >= KILLS - MISSED, kills.done
    assert watch.wrong == []
    assert [host.listed()[name] for host in fleet.hosts] == [model.digest.removeprefix("sha256:")] * HOSTS
    bounded(fleet, model, kills, before, sent)


def bounded(fleet: SpaceFleet, model: Locked, kills: Kills, before: list[int], sent: int) -> None:
    """Fetched twice is at most what was in flight when something was killed, at the hosts and at the registry.

    A blob whose parts Ollama itself tore is fetched twice from the mirror, and not from the registry.
    """
    for number, bytes_in in enumerate(received(fleet)):
        copies = HEADERS * (1 + kills.torn[number])
        most = copies * model.size + kills.hurt[number] * (IN_FLIGHT + LOOK) + 4 * LOOK
        assert bytes_in - before[number] <= most, (number, kills.hurt, kills.torn)
    assert fleet.internet.bytes_sent - sent <= model.size + kills.done["mirror"] * IN_FLIGHT
