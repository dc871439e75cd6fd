"""That work ends at all: a pattern which tries all ways on a hostile text would run for hours."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENOUGH_S = 60
"""Of the processor's time, a hundred times what the slowest takes: it tells an end from none, no speed."""


@contextmanager
def ends() -> Iterator[None]:
    """What runs inside fails when it has not ended after a minute of the processor's time."""

    def endless(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not at its end after {ENOUGH_S} s")

    before = signal.signal(signal.SIGVTALRM, endless)
    signal.setitimer(signal.ITIMER_VIRTUAL, ENOUGH_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
