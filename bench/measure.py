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


@dataclass(frozen=True)
class Row:
    """One line of the table: `ours` is to be at most `bar` times `theirs`."""

    what: str
    ours: float
    yardstick: str
    theirs: float
    bar: float
    unit: str = "s"

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def met(self) -> bool:
        return self.ratio <= self.bar


class Skipped(Exception):
    """Why a benchmark cannot run here, in a sentence."""


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


def in_turns(programs: Mapping[str, Sequence[str]], rounds: int, cwd: str | None = None) -> dict[str, Timing]:
    """Medians of programs that take turns, so that a busy moment of the machine meets all of them; one to warm up."""
    taken: dict[str, list[Timing]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, argv in programs.items():
            timing = once(argv, cwd=cwd)
            if timing.rc:
                raise SystemExit(f"{name} ended with {timing.rc}: {' '.join(argv)}")
            if turn:
                taken[name].append(timing)
    return {name: median(timings) for name, timings in taken.items()}


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
