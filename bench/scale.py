"""Large fleets: `hosts` of 1,000, and `plan` of 200 hosts whose SSH port refuses."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.measure import Row, Timing, in_turns, median, once

MANY, REFUSING, ROUNDS = 1000, 200, 3
DISCARD = 9
LISTINGS, SECONDS, MIB = 3.0, 20.0, 150.0


def inventory(path: Path, count: int) -> str:
    """Hosts on loopback addresses of their own, at a port where nothing listens."""
    hosts = {
        f"host{at:04}": {"ansible_host": f"127.67.{at // 250}.{at % 250 + 1}", "ansible_port": DISCARD}
        for at in range(count)
    }
    path.write_text(json.dumps({"all": {"hosts": hosts}}))
    return str(path)


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        many = inventory(Path(directory) / "many.json", MANY)
        programs = {
            "listing": [sys.executable, "-m", "ansible", "inventory", "-i", many, "--list"],
            "hosts": [sys.executable, "-m", "reaper_ops", "hosts", "-i", many],
        }
        found = in_turns(programs, ROUNDS)
        planned = refused(inventory(Path(directory) / "refusing.json", REFUSING))
    what = f"plan of {REFUSING} hosts that refuse SSH"
    return [
        Row(
            f"hosts of {MANY:,} hosts", found["hosts"].wall, "ansible inventory --list", found["listing"].wall, LISTINGS
        ),
        Row(what, planned.wall, "limit", SECONDS, 1),
        Row(f"{what}, memory", planned.rss / (1 << 20), "limit", MIB, 1, "MiB"),
    ]


def refused(path: str) -> Timing:
    """Its exit code must say that too little could be read."""
    timings = [once([sys.executable, "-m", "reaper_ops", "plan", "-i", path]) for _ in range(ROUNDS)]
    if {timing.rc for timing in timings} != {5}:
        raise SystemExit(f"scale: plan of refusing hosts ended with {[timing.rc for timing in timings]}, not 5")
    return median(timings)
