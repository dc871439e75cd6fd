"""A report for machines; `reaper_ops/data/report.schema.json` describes it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from reaper_ops.core.health.report import SCHEMA, HostReport, Report, StateChange


def render(report: Report) -> str:
    return json.dumps(document(report), indent=1)


def document(report: Report) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "verb": report.verb,
        "time": moment(report.time),
        "status": report.status,
        "exit_code": report.exit_code,
        "hosts": [asdict(host) for host in report.hosts],
    }


def moment(seconds: float) -> str | None:
    """As ISO 8601 in UTC; None when it is not known."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None


def change(found: StateChange, verb: str = "probe") -> str:
    """One change as one line, for `--watch`: the host as in the report, and the state before."""
    row = {"schema": SCHEMA, "verb": verb, "before": _state(found.before), "host": asdict(found.after)}
    return json.dumps(row)


def _state(host: HostReport | None) -> str | None:
    return None if host is None or host.state is None else str(host.state)
