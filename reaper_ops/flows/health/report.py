"""`report`: one web page of what is now, what was found, and what was kept before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from reaper_ops.adapters import tree
from reaper_ops.core import isolation
from reaper_ops.core.doctor import saved
from reaper_ops.core.doctor.diagnosis import FleetDiagnosis
from reaper_ops.core.doctor.saved import SavedReport
from reaper_ops.core.health.report import HostReport, Report, broken
from reaper_ops.errors import ReaperError
from reaper_ops.formats.health import as_html


def read(paths: Sequence[str]) -> tuple[SavedReport, ...]:
    """Kept reports, the oldest first."""
    return tuple(sorted((saved.load(path, *tree.read(path)) for path in paths), key=lambda kept: kept.report.time))


def report(look: Callable[[], Report] | None, kept: Sequence[SavedReport], path: str) -> Report | FleetDiagnosis:
    """Writes the page, and gives back what it shows: without `look` the newest of the kept reports."""
    if look is not None:
        kept = (*kept, SavedReport(look()))
    if not kept:
        raise ReaperError("report", "nothing to report", "give -i INVENTORY, --url, or --from FILE")
    *earlier, now = kept
    known = {found.host: found for found in now.diagnoses}

    def page(hosts: tuple[HostReport, ...]) -> str:
        """A host that is shown as broken has no diagnosis to be shown."""
        kept = tuple(known[host.host] for host in hosts if host.host in known and host in now.report.hosts)
        return as_html.page(replace(now.report, hosts=hosts), kept, [before.report for before in earlier])

    text = isolation.rendered(page, now.report.hosts, broken)
    place = Path(path)
    tree.write(str(place.parent), place.name, text)
    return FleetDiagnosis(now.diagnoses) if now.diagnoses else now.report
