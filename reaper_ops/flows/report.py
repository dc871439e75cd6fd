"""`report`: one web page of what is now, what was found, and what was kept before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reaper_ops.adapters import tree
from reaper_ops.core import saved
from reaper_ops.core.diagnosis import Checkup
from reaper_ops.core.report import Report
from reaper_ops.core.saved import Saved
from reaper_ops.errors import ReaperError
from reaper_ops.formats import as_html


def read(paths: Sequence[str]) -> tuple[Saved, ...]:
    """Kept reports, the oldest first."""
    return tuple(sorted((saved.load(path, *tree.read(path)) for path in paths), key=lambda kept: kept.report.time))


def report(look: Callable[[], Report] | None, kept: Sequence[Saved], path: str) -> Report | Checkup:
    """Writes the page, and gives back what it shows: without `look` the newest of the kept reports."""
    if look is not None:
        kept = (*kept, Saved(look()))
    if not kept:
        raise ReaperError("report", "nothing to report", "give -i INVENTORY, --url, or --from FILE")
    *earlier, now = kept
    text = as_html.page(now.report, now.diagnoses, [before.report for before in earlier])
    place = Path(path)
    tree.write(str(place.parent), place.name, text)
    return Checkup(now.diagnoses) if now.diagnoses else now.report
