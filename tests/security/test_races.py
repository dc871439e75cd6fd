"""A lesser user swaps directories and files for links while root works: bounded, by seed, and never won."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from security.conftest import LESSER, SECRET, Ground, library, shared

ASIDE, OWNED, MIRROR = library("store_quarantine"), library("owned_directory"), library("mirror_store")
TREE, PARTIALS, STORES = shared("reaper_tree"), shared("reaper_partials"), shared("reaper_stores")
REMOVAL = shared("reaper_removal")
ROUNDS, SEED = 20, 20261126
LOST = (OSError, ASIDE.Refused, OWNED.Trouble)

ATTACKER = """
import os, random, sys
home, victim, seed, user = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.setgroups([])
os.setgid(user)
os.setuid(user)
chance = random.Random(seed)
places = [(home + "/" + path, victim + "/" + to) for path, to in (
    ("models/blobs", "blobs"), ("models/manifests", ""), ("models/set-aside", ""), ("models", ""), (".ollama", ""),
    (".ollama/logs", "logs"), ("models/blobs/sha256-aa", "shadow"), ("models/manifests/r", "r"), ("cache", ""),
    ("log/wan.log", "shadow"), ("own", ""), ("models/manifests/r/l/m/t", "r/l/m/t"),
)]
sys.stdout.write("ready\\n"); sys.stdout.flush()
while os.getppid() != 1:
    place, to = chance.choice(places)
    try:
        os.rename(place, place + ".away")
        os.symlink(to, place)
        for _ in range(chance.randrange(200)):
            pass
        os.unlink(place)
    except OSError:
        pass
    try:
        os.rename(place + ".away", place)
    except OSError:
        pass
"""


@dataclass(frozen=True)
class Attack:
    """A round begins with the attacker held, so that the test itself is not led astray when it lays the ground."""

    ground: Ground
    attacker: subprocess.Popen[bytes]

    def round(self) -> None:
        self.attacker.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.attacker.pid, os.WSTOPPED)
        fill(self.ground)
        self.attacker.send_signal(signal.SIGCONT)


def fill(ground: Ground) -> None:
    """The place as it is before each round; whatever the attacker left of it is gone."""
    for path in ground.home.iterdir():
        with contextlib.suppress(OSError):
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path, ignore_errors=True)
    for name in (
        *("models/blobs/sha256-aa", "models/blobs/sha256-bb", "models/manifests/r/l/m/t", ".ollama/id_ed25519"),
        *(
            ".ollama/logs/audit.log",
            "log/wan.log",
            "log/lan.log",
            "cache/a/b",
            "own/x",
            "models/set-aside/blobs/sha256-cc",
        ),
    ):
        with contextlib.suppress(OSError):
            (ground.home / name).parent.mkdir(parents=True, exist_ok=True)
            (ground.home / name).write_text("his own\n" * 200)
    with contextlib.suppress(OSError):
        ground.theirs()


def aside(ground: Ground, state: str, name: str) -> Any:
    return ASIDE.step({"store": str(ground.store), "path": str(ground.store / name), "state": state}, False)


def own(ground: Ground) -> Any:
    params = {"path": str(ground.home), "owner": "1", "group": "1", "mode": "0755", "recurse": True}
    return OWNED.step({**params, "within": [str(ground.home)]}, False)


def mirror(ground: Ground, state: str) -> Any:
    paths = {name: str(ground.home / name) for name in ("cache", "own", "log", "tmp", "run", "sockets")}
    params = {"paths": {**paths, "data": str(ground.home)}, "state": state, "keep": None, "verify": True, "own": True}
    return MIRROR.step(params, False)


WORK: dict[str, Callable[[Ground], Any]] = {
    "store_quarantine": lambda g: [
        aside(g, state, "blobs/sha256-aa") for state in ("quarantined", "restored", "quarantined", "discarded")
    ],
    "discard": lambda g: [aside(g, "discarded", name) for name in ("blobs/sha256-cc", "manifests/r/l/m/t")],
    "own": own,
    "purge": lambda g: [TREE.remove_path(str(g.store / name)) for name in ("blobs", "manifests")],
    "sweep": lambda g: (REMOVAL.sweep(str(g.home)), REMOVAL.empty(str(g.home))),
    "parts": lambda g: PARTIALS.discard_damaged(["sha256:" + "a" * 64], str(g.store)),
    "stores": lambda g: list(STORES.store(str(g.store))),
    "status": lambda g: mirror(g, "read"),
    "gc": lambda g: mirror(g, "collected"),
    "clear": lambda g: mirror(g, "cleared"),
}


@pytest.fixture
def attack(ground: Ground) -> Iterator[Attack]:
    fill(ground)
    argv = [sys.executable, "-c", ATTACKER, str(ground.home), str(ground.victim), str(SEED), str(LESSER)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as attacker:
        try:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == b"ready\n"
            yield Attack(ground, attacker)
        finally:
            attacker.kill()


@pytest.mark.parametrize("work", WORK)
def test_no_race_is_won(attack: Attack, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MIRROR.reaper_mirror, "LOG_LIMIT", 100)
    chance, told = random.Random(SEED), []
    for _ in range(ROUNDS):
        attack.round()
        for _ in range(chance.randrange(2000)):
            pass
        with contextlib.suppress(*LOST):
            told.append(WORK[work](attack.ground))
        attack.ground.untouched()
    assert SECRET not in json.dumps(told, default=str)


def test_the_attacker_wins_against_plain_paths(attack: Attack) -> None:
    """Else the rounds above would prove nothing: the same swaps lead an ordinary read astray."""
    place = attack.ground.store / "manifests/r/l/m/t"
    for _ in range(20 * ROUNDS):
        attack.round()
        for _ in range(40):
            with contextlib.suppress(OSError):
                if SECRET in place.read_text():
                    return
    pytest.fail("the attacker never had a link in place")
