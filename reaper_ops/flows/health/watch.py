"""`watch` and `probe --watch`: probe again and again, and say what changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reaper_ops.core.health.report import Report, StateChange, Tally, changes
from reaper_ops.errors import ReaperError


@dataclass(frozen=True)
class Round:
    """problem: why this round could not be probed; the report is then the one before."""

    report: Report
    changes: tuple[StateChange, ...]
    tally: Tally
    problem: str = ""


def watch(
    look: Callable[[], Report],
    interval: float,
    *,
    rounds: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Round]:
    """At first everything is new. A first round that breaks ends the watch; a later one is told and passes."""
    began = clock()
    report = look()
    tally = Tally(rounds=1, seconds=clock() - began)
    yield Round(report, changes(None, report), tally)
    while rounds is None or tally.rounds < rounds:
        sleep(interval)
        last, report, problem, began = report, report, "", clock()
        try:
            report = look()
        except ReaperError as error:
            problem = str(error)
        changed = changes(last, report)
        tally = counted(tally, changed, clock() - began, bool(problem))
        yield Round(report, changed, tally, problem)


def counted(tally: Tally, changed: tuple[StateChange, ...], seconds: float, failed: bool) -> Tally:
    moved = Counter(c.after.host for c in changed if c.before is not None and c.before.state != c.after.state)
    return Tally(tally.rounds + 1, tally.failures + failed, seconds, Counter(tally.changes) + moved)
