"""Report to text, JSON and the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reaper_ops.core import isolation
from reaper_ops.core.health.report import Report, broken
from reaper_ops.formats.health import as_json, as_text


def _prometheus(report: Report) -> str:
    from reaper_ops.formats.health import as_prometheus

    return as_prometheus.render(report).rstrip("\n")


def _each_host(render: Callable[[Report], str]) -> Callable[[Report], str]:
    """A host that cannot be shown is shown as such."""

    def each_rendered(report: Report) -> str:
        return isolation.rendered(lambda hosts: render(replace(report, hosts=hosts)), report.hosts, broken)

    return each_rendered


FORMATS: dict[str, Callable[[Report], str]] = {
    "text": _each_host(as_text.render),
    "json": _each_host(as_json.render),
    "prometheus": _each_host(_prometheus),
}
