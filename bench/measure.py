"""Whole processes, measured: wall time and peak memory of a program and of all that it waited for."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """rss is the peak in bytes of the largest process, as the kernel counts it."""

    wall: float
    rss: int
    rc: int


def once(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None) -> Timing:
    start = time.perf_counter()
    process = subprocess.Popen(
        argv, env={**os.environ, **(env or {})}, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Timing(time.perf_counter() - start, usage.ru_maxrss * 1024, process.returncode)


def median(timings: Sequence[Timing]) -> Timing:
    return Timing(
        statistics.median(t.wall for t in timings), int(statistics.median(t.rss for t in timings)), timings[-1].rc
    )


def table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
