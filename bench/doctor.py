"""`doctor` of three real hosts over SSH against `ansible all -m setup`, and the judging of 1,000 hosts' evidence.

The 1,000 hosts are a bundle of the evidence that was read of the three, copied under other names.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from bench.measure import Row, median, once
from bench.up import HOSTS, LIMIT, bring_up, fresh, sockets, unfit

Result = TypeVar("Result")
ROUNDS = 5
MANY = 1000
BUDGET_S = 2.0
PASTE_S = 0.5
PASTE = """\
$ systemctl status ollama
● ollama.service - Ollama Service
     Active: activating (auto-restart) (Result: exit-code) since Mon 2026-03-02 10:00:00 CET; 2s ago
$ free -h
               total        used        free      shared  buff/cache   available
Mem:            31Gi       4.0Gi        20Gi       0.1Gi       7.0Gi        27Gi
$ journalctl -u ollama
"""
LINE = 'Mar 02 10:00:00 box ollama[5120]: time=2026-03-02T10:00:00Z level=INFO source=server.go:1 msg="loading model"\n'


def run() -> list[Row]:
    reason = unfit()
    if reason:
        print(f"bench: doctor of real hosts is skipped: {reason}", file=sys.stderr)
        return [_pasted()]
    from fleet.world import Fleet

    with tempfile.TemporaryDirectory(prefix="reaper-bench-") as name:
        fleet = Fleet(Path(name), machine=False)
        try:
            fleet.hosts()
            bring_up(fleet)
            return [*_against_setup(fleet.inventory), _judged(fleet.inventory), _pasted()]
        finally:
            fleet.close()


def _against_setup(inventory: Path) -> list[Row]:
    ansible = [sys.executable, "-m", "ansible"]
    programs = {
        "doctor": [sys.executable, "-m", "reaper_ops", "doctor", "-i", str(inventory), "-l", LIMIT],
        "setup": [*ansible, "adhoc", LIMIT, "-i", str(inventory), "-m", "setup"],
    }
    said = subprocess.run(programs["doctor"], capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise SystemExit(f"doctor does not find the hosts healthy:\n{said.stdout}{said.stderr}")
    taken: dict[str, list[Any]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, argv in programs.items():
            taken[name].append(fresh(lambda own, argv=argv: once(argv, sockets(own))))
    found = {name: median(timings).wall for name, timings in taken.items()}
    return [Row(f"doctor of {len(HOSTS)} hosts", found["doctor"], "ansible -m setup", found["setup"], 1.5)]


def _judged(inventory: Path) -> Row:
    """In this process: evidence that was read and parsed, to causes in order."""
    from reaper_ops.adapters.ansible import Source
    from reaper_ops.flows.doctor import doctor

    _, patients = doctor.collect(Source((str(inventory),), LIMIT))
    many = [
        replace(
            one,
            host=f"host{n:04}",
            facts=replace(one.facts, host=f"host{n:04}", journal=f"{one.facts.journal}\nhost{n:04}"),
        )
        for n in range(MANY)
        if (one := patients[n % len(patients)]).facts is not None
    ]
    checkup, wall = _median(lambda: doctor.examine(many))
    if checkup.exit_code != 0 or len(checkup.hosts) != MANY:
        raise SystemExit("bench: the copies of healthy hosts are not found healthy")
    return Row(f"judging the evidence of {MANY:,} hosts", wall, "limit", BUDGET_S, 1)


def _pasted() -> Row:
    """In this process: one MiB of text, to what a host would have answered."""
    from reaper_ops.core.doctor import bundle

    text = (PASTE + LINE * 60) * ((1 << 20) // len(PASTE + LINE * 60))
    _, wall = _median(lambda: bundle.read("pasted", {"paste": text}, by_hand=True))
    return Row("a paste of one MiB", wall, "limit", PASTE_S, 1)


def _median(work: Callable[[], Result]) -> tuple[Result, float]:
    """What the last round gave, and the median of the wall times in seconds."""
    walls = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = work()
        walls.append(time.perf_counter() - start)
    return found, sorted(walls)[ROUNDS // 2]
