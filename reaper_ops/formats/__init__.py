"""Report to text, JSON and the rest."""

from __future__ import annotations

from collections.abc import Callable

from reaper_ops.core.report import Report
from reaper_ops.formats import as_json, as_text


def _prometheus(report: Report) -> str:
    from reaper_ops.formats import as_prometheus

    return as_prometheus.render(report).rstrip("\n")


FORMATS: dict[str, Callable[[Report], str]] = {
    "text": as_text.render,
    "json": as_json.render,
    "prometheus": _prometheus,
}
