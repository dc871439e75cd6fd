"""`models pull` of 200 hosts by their API: memory, processor time, and what it adds to the hosts' own pull time.

The hosts are simulated, all in one process beside ours (`bench.light_hosts`). The yardstick is the loop that people
write today, `ansible all -m command -a 'ollama pull …'`, with as many forks as hosts, for fewer hosts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.light_hosts import DIGEST, MANIFEST
from bench.measure import Row
from reaper_ops.core.models import lock

HOSTS, SECONDS = int(os.environ.get("BENCH_PULL_HOSTS", "200")), float(os.environ.get("BENCH_PULL_SECONDS", "90"))
FEW = 20
OVERHEAD, MEMORY = 0.05, 300.0
FIRST = 21000
COMMAND = """\
#!{python}
import http.client, json, os, sys
link = http.client.HTTPConnection(os.environ["OLLAMA_HOST"])
link.request("POST", "/api/pull", json.dumps({{"model": sys.argv[2], "insecure": True}}))
for line in link.getresponse():
    last = line
sys.exit(0 if b"success" in last else 1)
"""


@dataclass(frozen=True)
class Measured:
    """memory: the most that the program and all its children held at a time, in MiB; own: the slowest pull itself."""

    wall: float
    own: float
    memory: float
    cpu: float
    rc: int

    @property
    def added(self) -> float:
        return self.wall - self.own


@contextmanager
def hosts(directory: Path, count: int) -> Iterator[Path]:
    """The simulated servers, and the file with the time of each pull."""
    log = directory / f"pulls-{count}"
    log.write_text("")
    argv = [sys.executable, "-m", "bench.light_hosts", str(FIRST), str(count), str(SECONDS), str(log)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield log
    finally:
        process.terminate()
        process.wait()


def children(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from children(int(child))


def held(pid: int) -> float:
    """Proportional share of memory, so that pages that forks share count once."""
    total = 0
    for one in children(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
    return total / 1024


def measured(argv: list[str], log: Path, env: dict[str, str]) -> Measured:
    peak, ended = [0.0], threading.Event()
    start = time.perf_counter()
    out = log.with_suffix(".out").open("w")
    process = subprocess.Popen(argv, env={**os.environ, **env}, stdout=out, stderr=subprocess.STDOUT)

    def watch() -> None:
        while not ended.wait(0.5):
            peak[0] = max(peak[0], held(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    watcher.join()
    out.close()
    own = max(map(float, log.read_text().split()), default=0.0)
    return Measured(wall, own, peak[0], usage.ru_utime + usage.ru_stime, process.returncode)


def inventory(directory: Path, count: int) -> Path:
    name = f"127.0.0.1:{FIRST}/library/big:1"
    rows = {f"h{at:03}": {"ollama_port": FIRST + at} for at in range(count)}
    shared = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ollama_runtime": "process",
        "ollama_models": ["big:1"],
        "ollama_mirror": f"http://127.0.0.1:{FIRST}",
    }
    path = directory / "hosts.yml"
    path.write_text(json.dumps({"all": {"hosts": rows, "vars": shared}}))
    digest = f"sha256:{DIGEST}"
    entry = lock.from_manifest("big:1", MANIFEST, digest, name, "2026-01-01T00:00:00Z")
    (directory / "models.lock").write_text(lock.dump(lock.Lock((entry,))))
    return path


def ours(directory: Path) -> Measured:
    path = inventory(directory, HOSTS)
    argv = [sys.executable, "-m", "reaper_ops", "models", "pull", "-i", str(path), "--at-once", str(HOSTS)]
    with hosts(directory, HOSTS) as log:
        found = measured(argv, log, {})
        pulls = len(log.read_text().split())
    if found.rc or pulls != HOSTS:
        raise SystemExit(
            f"pull: ended with {found.rc} after {pulls} pulls\n{log.with_suffix('.out').read_text()[-2000:]}"
        )
    return found


def theirs(directory: Path) -> Measured:
    path, program = inventory(directory, FEW), directory / "ollama"
    program.write_text(COMMAND.format(python=sys.executable))
    program.chmod(0o755)
    shell = f"OLLAMA_HOST=127.0.0.1:{{{{ ollama_port }}}} {program} pull big:1"
    argv = [
        sys.executable,
        "-m",
        "ansible",
        "adhoc",
        "all",
        "-i",
        str(path),
        "-f",
        str(FEW),
        "-m",
        "shell",
        "-a",
        shell,
    ]
    with hosts(directory, FEW) as log:
        found = measured(argv, log, {})
    if found.rc:
        raise SystemExit(f"pull: the loop ended with {found.rc}\n{log.with_suffix('.out').read_text()[-2000:]}")
    return found


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        mine, loop = ours(Path(name)), theirs(Path(name))
    for what, one in ((f"{HOSTS} hosts, models pull", mine), (f"{FEW} hosts, ansible -m shell 'ollama pull'", loop)):
        told = f"wall {one.wall:.1f} s, slowest pull {one.own:.1f} s, adds {one.added:.1f} s"
        print(f"{what}: {told}, {one.memory:.0f} MiB, {one.cpu:.1f} s of a core", file=sys.stderr)
    what = f"pull of {HOSTS} hosts"
    return [
        Row(f"{what}, beyond the slowest host's own", mine.added, "its own pull", mine.own, OVERHEAD),
        Row(f"{what}, memory", mine.memory, "limit", MEMORY, 1, "MiB"),
        Row(f"{what}, processor time", mine.cpu, "one core", mine.wall, 1),
        Row(f"{what}, memory for each", mine.memory / HOSTS, f"ansible, {FEW} hosts", loop.memory / FEW, 1, "MiB"),
    ]
