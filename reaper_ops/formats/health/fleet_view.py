"""A fleet that is watched: a live table on a terminal, lines for what changed in a pipe, JSON lines for machines."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from reaper_ops.core.health import measures
from reaper_ops.core.health.measures import Measures
from reaper_ops.core.health.report import HostReport, Report, StateChange
from reaper_ops.core.values import human_bytes
from reaper_ops.formats import visible
from reaper_ops.formats.health import as_json, as_text

if TYPE_CHECKING:
    from rich.console import Group

COLOURS = {"good": "green", "warning": "yellow", "error": "red", "unknown": "magenta"}
COLUMNS = ("host", "state", "for", "Ollama", "loaded", "memory", "VRAM", "why")
WIDE = {"memory": 100, "VRAM": 100, "Ollama": 130, "loaded": 130}
"""Columns that a narrower screen spares, so that the cause can be read on it."""
AROUND = 5
"""Lines of a screen that are not hosts: head, rules, footer, prompt."""


class FleetView(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, report: Report, changed: Iterable[StateChange], problem: str = "") -> None: ...


def choose(output: str) -> FleetView:
    if output == "json":
        return FleetJson()
    return FleetLive() if sys.stdout.isatty() else FleetLines()


def drawable(host: HostReport) -> None:
    """Draws it once, for whoever wants to know before the screen is touched."""
    cells(host, 0.0)
    as_text.change(StateChange(None, host))
    as_json.change(StateChange(None, host))


def clock() -> str:
    return time.strftime("%H:%M:%S")


class _QuietFleet:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class FleetJson(_QuietFleet):
    """A line for each change; trouble of a round on standard error."""

    def show(self, report: Report, changed: Iterable[StateChange], problem: str = "") -> None:
        if problem:
            sys.stderr.write(f"error: {visible.one_line(problem)}\n")
        for change in changed:
            sys.stdout.write(as_json.change(change) + "\n")
        sys.stdout.flush()


class FleetLines(_QuietFleet):
    """The time and the fleet's status, then each change with its cause."""

    def show(self, report: Report, changed: Iterable[StateChange], problem: str = "") -> None:
        if problem:
            sys.stderr.write(f"{clock()}  this round was not probed: {as_text.ascii_safe(problem)}\n")
        lines = [as_text.change(change) for change in changed]
        if lines:
            sys.stdout.write("\n".join([f"{clock()}  {report.status}", *lines]) + "\n")
        sys.stdout.flush()


class FleetLive:
    """The table stays at the foot of the screen; what changed is logged above it."""

    def __init__(self) -> None:
        from rich.live import Live as Table

        from reaper_ops.formats.screen import Screen

        self._console = Screen()
        self._screen = Table(console=self._console, auto_refresh=False, transient=False)
        self._since: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        self._console.print("probing …")
        self._screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._screen.stop()

    def show(self, report: Report, changed: Iterable[StateChange], problem: str = "") -> None:
        from rich.text import Text

        now = time.monotonic()
        for host in report.hosts:
            if self._since.get(host.host, ("", 0.0))[0] != host.word:
                self._since[host.host] = (host.word, now)
        for change in changed:
            if change.before is not None:
                self._console.print(Text.from_ansi(f"{clock()}  {as_text.change(change)}"))
        if problem:
            self._console.print(f"{clock()}  this round was not probed: {as_text.ascii_safe(problem)}")
        ages = {host: now - since for host, (_, since) in self._since.items()}
        self._screen.update(table(report, ages, *self._console.size), refresh=True)


def table(report: Report, ages: dict[str, float], width: int, height: int) -> Group:
    """Sick hosts first; what does not fit on the screen is counted in the last line.

    That line is not filled up to the edge: the `^C` that a terminal echoes there would begin another one.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    ordered = sorted(report.hosts, key=as_text.rank, reverse=True)
    shown = ordered[: max(3, height - AROUND)]
    counts = ", ".join(f"{number} {name}" for name, number in Counter(host.word for host in report.hosts).most_common())
    rest = Counter(host.word for host in ordered[len(shown) :])
    more = f" · not shown: {', '.join(f'{number} {name}' for name, number in rest.most_common())}" if rest else ""
    simulated = " · simulated" if any(host.simulated for host in report.hosts) else ""
    found = Table(box=None, expand=True)
    names = [name for name in COLUMNS if width >= WIDE.get(name, 0)]
    for name in names:
        longest = max(12, width // 4) if name == "host" else None
        ratio = 1 if name == "why" else None
        found.add_column(name, no_wrap=True, overflow="ellipsis", ratio=ratio, max_width=longest)
    for host in shown:
        texts = dict(zip(COLUMNS, cells(host, ages.get(host.host, 0.0)), strict=True))
        found.add_row(*(Text(texts[name]) for name in names), style=COLOURS[as_text.kind_of(host)])
    return Group(found, Text(f"{clock()}  {counts}{more}{simulated}", style="italic dim"))


def cells(host: HostReport, age: float) -> tuple[str, ...]:
    seen = measures.read(host.facts)
    loaded = "–" if seen.loaded is None else str(len(seen.loaded))
    cause = f"[{host.cause}] " if host.cause else ""
    why = "" if as_text.kind_of(host) == "good" else f"{cause}{host.problem or host.summary}"
    texts = (host.host, host.word, lasting(age), host.version or "–", loaded, *_room(seen), why)
    return tuple(text if text == "–" else as_text.ascii_safe(text) for text in texts)


def _room(seen: Measures) -> tuple[str, str]:
    memory = f"{1 - seen.memory.free / seen.memory.total:.0%}" if seen.memory and seen.memory.total else "–"
    total = sum(card.total for card in seen.gpus)
    used = sum(card.used or 0 for card in seen.gpus)
    vram = f"{used / total:.0%}" if total else human_bytes(seen.vram) if seen.vram else "–"
    return memory, vram


def lasting(seconds: float) -> str:
    """`42s`, `17m`, `3h`, `12d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
