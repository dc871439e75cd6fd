"""What holds a pull back: a cap on the bytes from the internet, and the hours in which it may run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from reaper_ops.adapters import ansible
from reaper_ops.adapters import maintenance_window as hours
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.models import caps
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models import maintenance_window as window
from reaper_ops.core.models.strategy import Strategy
from reaper_ops.core.values import size
from reaper_ops.errors import ReaperError
from reaper_ops.flows.mirror import site as site_mirror

GONE_AFTER = 15


def cap(source: Source, rate: str | None, strategy: Strategy, only: tuple[str, ...]) -> dict[str, int]:
    """Refuses what would go faster than the cap; gives the options of a pull that keeps it by itself."""
    if rate is None:
        return {}
    try:
        most = size(rate)
    except ValueError as error:
        raise ReaperError(caps.PLACE, str(error), "write it as 50M") from None
    kept = strategy.cap(most)
    if kept is not None:
        return kept
    known = ansible.inventory(source)
    hosts = wanted.managed(site_mirror.choose(source, known, strategy).inventory(known))
    everybody = (known if source.limit is None else ansible.inventory(replace(source, limit=None))).hosts
    caps.check(most, hosts, everybody, strategy.sources, only=only)
    return {}


def soon(text: str | None) -> dict[str, int]:
    """With a window, hosts notice sooner that nobody follows their pull any more, and end it too."""
    return {} if text is None else {"reaper_abandoned": GONE_AFTER}


@contextmanager
def in_window(text: str | None, tell: Callable[[str], None]) -> Iterator[None]:
    """Waits for the window, and ends the block by `window.Closed` when it is over; without one nothing happens."""
    if text is None:
        yield
        return
    found = window.parse(text)
    hours.wait(found, tell)
    with hours.only_in(found):
        yield
