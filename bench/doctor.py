"""`doctor` of three real hosts over SSH against `ansible all -m setup`, and the judging of 1,000 hosts' evidence.

The 1,000 hosts are a bundle of the evidence that was read of the three, copied under other names.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.measure import Row, Skipped, median, once
from bench.up import HOSTS, LIMIT, bring_up, fresh, sockets, unfit

ROUNDS = 5
MANY = 1000
BUDGET_S = 2.0


def run() -> list[Row]:
    reason = unfit()
    if reason:
        raise Skipped(reason)
    from fleet.world import Fleet

    with tempfile.TemporaryDirectory(prefix="reaper-bench-") as name:
        fleet = Fleet(Path(name), machine=False)
        try:
            fleet.hosts()
            bring_up(fleet)
            return [*_against_setup(fleet.inventory), _judged(fleet.inventory)]
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
    walls = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        checkup = doctor.examine(many)
        walls.append(time.perf_counter() - start)
    if checkup.exit_code != 0 or len(checkup.hosts) != MANY:
        raise SystemExit("bench: the copies of healthy hosts are not found healthy")
    return Row(f"judging the evidence of {MANY:,} hosts", sorted(walls)[ROUNDS // 2], "limit", BUDGET_S, 1)
