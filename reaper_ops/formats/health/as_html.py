"""A report as one web page, complete in itself: nothing is loaded from anywhere, and there are no scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reaper_ops import __version__, assets
from reaper_ops.core.doctor.diagnosis import Diagnosis
from reaper_ops.core.doctor.saved import of_diagnosis
from reaper_ops.core.health.report import Report
from reaper_ops.formats.health import html_trend, html_view
from reaper_ops.formats.health.html_text import moment, shown

MODELS = 500


@dataclass(frozen=True)
class Count:
    """How many hosts are in a state, and what part of the fleet that is."""

    state: str
    kind: str
    sign: str
    count: int
    percent: float


def page(report: Report, diagnoses: Sequence[Diagnosis] = (), earlier: Sequence[Report] = ()) -> str:
    """diagnoses add causes and steps; hosts that only they know are shown too. earlier reports make a trend."""
    by_host = {found.host: found for found in diagnoses}
    known = {host.host for host in report.hosts}
    hosts = (*report.hosts, *(of_diagnosis(found) for found in diagnoses if found.host not in known))
    rows = html_view.rows(hosts, by_host)
    models = html_view.held(hosts)
    return assets.page("report/page.html.j2").render(
        version=__version__,
        when=moment(report.time),
        hosts=rows,
        sick=[row for row in rows if row.kind != "good"],
        counts=_counts(rows),
        simulated=[shown(part, 200) for part in dict.fromkeys(part for host in hosts for part in host.simulated)],
        models=models[:MODELS],
        more_models=max(0, len(models) - MODELS),
        trend=html_trend.trend((*earlier, report)),
        signs=html_view.SIGNS,
    )


def _counts(rows: Sequence[html_view.HostRow]) -> tuple[Count, ...]:
    """Good states first, then as many as there are."""
    found = Counter((row.state, row.kind) for row in rows)
    ordered = sorted(found.items(), key=lambda item: (-html_view.RANK.index(item[0][1]), -item[1], item[0]))
    return tuple(
        Count(state, kind, html_view.SIGNS[kind], count, round(100 * count / len(rows), 2))
        for (state, kind), count in ordered
    )
