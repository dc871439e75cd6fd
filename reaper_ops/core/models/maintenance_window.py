"""Hours in which a pull may run, such as 22:00-06:00, by the clock on the wall of this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from reaper_ops.errors import ExitCode, ReaperError

PLACE = "--wait-window"
_FORM = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)\Z")


class Closed(ReaperError):
    """The window ended before the work did; all that came stays. Exit code 4."""

    exit_code = ExitCode.WARNING


@dataclass(frozen=True)
class Window:
    """Over midnight when it ends before it starts."""

    start: time
    end: time

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def is_open(self, now: datetime) -> bool:
        at = now.time()
        if self.start < self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end

    def opens(self, now: datetime) -> datetime:
        """When it opens next; local times without a zone, as the clock on the wall shows them."""
        return _next(self.start, now)

    def closes(self, now: datetime) -> datetime:
        return _next(self.end, now)


def _next(at: time, now: datetime) -> datetime:
    today = datetime.combine(now.date(), at)
    return today if today > now else today + timedelta(days=1)


def parse(text: str) -> Window:
    found = _FORM.match(text.strip())
    if not found:
        raise ReaperError(PLACE, f"{text!r} is no window", "write it as 22:00-06:00")
    first, second, third, fourth = (int(word) for word in found.groups())
    window = Window(time(first, second), time(third, fourth))
    if window.start == window.end:
        raise ReaperError(PLACE, f"{text!r} has no length", "write two different times, such as 22:00-06:00")
    return window


def over(window: Window, zone: str) -> Closed:
    problem = f"the window is over ({window} {zone}), and the pull was stopped"
    return Closed(PLACE, problem, "what was downloaded stays: the same command goes on in the next window")


def waiting(window: Window, now: datetime, zone: str) -> str:
    opens = window.opens(now)
    minutes = -(-int((opens - now).total_seconds()) // 60)
    left = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return f"waiting for the window {window} until {opens:%H:%M} {zone}, the zone of this machine; that is {left}"
