"""Several reports of one fleet, as columns of a chart and as the changes between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from reaper_ops.core.health.report import Report, changes
from reaper_ops.formats.health.as_text import kind_of
from reaper_ops.formats.health.html_text import moment, shown

COLUMNS, CHANGES = 60, 100
KINDS = ("good", "warning", "unknown", "error")


@dataclass(frozen=True)
class TrendPart:
    """From the foot of the column: top and height in per cent of all hosts."""

    kind: str
    count: int
    top: float
    height: float


@dataclass(frozen=True)
class Column:
    when: str
    parts: tuple[TrendPart, ...]
    counts: dict[str, int]


@dataclass(frozen=True)
class Moved:
    when: str
    host: str
    before: str
    after: str
    kind: str
    cause: str


@dataclass(frozen=True)
class Trend:
    """The newest columns and changes; more says how many older changes are not shown."""

    columns: tuple[Column, ...]
    moved: tuple[Moved, ...]
    more: int


def trend(reports: Sequence[Report]) -> Trend | None:
    """None for a single report: one point is no trend."""
    ordered = sorted(reports, key=lambda report: report.time)
    if len(ordered) < 2:
        return None
    most = max((len(report.hosts) for report in ordered), default=0) or 1
    moved = [found for pair in pairwise(ordered) for found in _moved(*pair)][::-1]
    columns = tuple(_column(report, most) for report in ordered[-COLUMNS:])
    return Trend(columns, tuple(moved[:CHANGES]), max(0, len(moved) - CHANGES))


def _column(report: Report, most: int) -> Column:
    counts = Counter(kind_of(host) for host in report.hosts)
    parts: list[TrendPart] = []
    reached = 0.0
    for kind in KINDS:
        height = round(100 * counts[kind] / most, 2)
        if counts[kind]:
            reached += height
            parts.append(TrendPart(kind, counts[kind], round(100 - reached, 2), height))
    return Column(moment(report.time), tuple(parts), {kind: counts[kind] for kind in KINDS})


def _moved(last: Report, report: Report) -> list[Moved]:
    return [
        Moved(
            moment(report.time),
            shown(change.after.host, 200),
            change.before.word,
            change.after.word,
            kind_of(change.after),
            shown(change.after.cause or "", 80),
        )
        for change in changes(last, report)
        if change.before is not None and change.before.word != change.after.word
    ]
