"""Waits for a window to open, and stops what runs in it when it closes, as Ctrl-C would."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

from reaper_ops.core.models import maintenance_window as window
from reaper_ops.core.models.maintenance_window import Window

LOOK_EVERY = 20.0


def now() -> datetime:
    """As the clock on the wall of this machine shows it."""
    return datetime.now()


def zone() -> str:
    return datetime.now().astimezone().strftime("%Z (UTC%z)")


def wait(wanted: Window, tell: Callable[[str], None]) -> None:
    """Returns when it is open; a machine that slept meanwhile looks at the clock again."""
    if not wanted.is_open(now()):
        tell(window.waiting(wanted, now(), zone()))
    while not wanted.is_open(now()):
        time.sleep(min(LOOK_EVERY, max(0.0, _seconds_to(wanted.opens(now())))) or 0.01)


def _seconds_to(when: datetime) -> float:
    return when.timestamp() - now().timestamp()


def _next_look(end: datetime) -> float:
    return min(LOOK_EVERY, max(0.01, _seconds_to(end)))


@contextmanager
def only_in(wanted: Window) -> Iterator[None]:
    """When the window closes, the block ends by Closed, after it put in order what Ctrl-C makes it put in order.

    The clock is looked at now and then, as a timer stands still while the machine sleeps.
    """
    closed: list[bool] = []
    end = wanted.closes(now())

    def ring(number: int, frame: FrameType | None) -> None:
        if _seconds_to(end) > 0:
            signal.setitimer(signal.ITIMER_REAL, _next_look(end))
            return
        closed.append(True)
        os.kill(os.getpid(), signal.SIGINT)

    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, _next_look(end))
    try:
        yield
    except KeyboardInterrupt:
        if closed:
            raise window.over(wanted, zone()) from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGINT, interrupt)
