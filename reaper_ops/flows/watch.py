"""`probe --watch`: probe again and again, and say only what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from reaper_ops.core.report import Change, Report, changes


def watch(
    look: Callable[[], Report],
    interval: float,
    *,
    rounds: int | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Report, tuple[Change, ...]]]:
    """A report and what changed in it, per round; at first everything is new."""
    last: Report | None = None
    done = 0
    while rounds is None or done < rounds:
        if last is not None:
            sleep(interval)
        report = look()
        yield report, changes(last, report)
        last, done = report, done + 1
