"""Checks that work ends at all: on a hostile text, a pattern that backtracks would run for hours."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENOUGH_S = 60
"""Processor time, a hundred times what the slowest text takes: a limit against endless work, not a measure of speed."""


@contextmanager
def ends() -> Iterator[None]:
    """Fails the body if it has not ended after a minute of processor time."""

    def endless(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"did not end within {ENOUGH_S} s of processor time")

    before = signal.signal(signal.SIGVTALRM, endless)
    signal.setitimer(signal.ITIMER_VIRTUAL, ENOUGH_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
