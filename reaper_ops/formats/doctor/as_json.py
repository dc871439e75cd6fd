"""A diagnosis for machines; `reaper_ops/data/diagnosis.schema.json` describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from reaper_ops.core.doctor.diagnosis import SCHEMA, Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.latency import Gain
from reaper_ops.core.facts.traces import Timing

Slow = tuple[str, tuple[Timing, ...], tuple[Gain, ...]]


def render(checkup: FleetDiagnosis, slow: Sequence[Slow] = ()) -> str:
    """slow: host, what was measured, and what would gain how much."""
    rows = {host: {"timings": list(map(asdict, t)), "gains": list(map(_gain, g))} for host, t, g in slow}
    return json.dumps({**document(checkup), **({"slow": rows} if rows else {})}, indent=1)


def document(checkup: FleetDiagnosis) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "verb": "doctor",
        "status": checkup.status,
        "exit_code": checkup.exit_code,
        "hosts": [_host(host) for host in checkup.hosts],
    }


def _host(host: Diagnosis) -> dict[str, Any]:
    row = asdict(host)
    return {**row, "severity": host.severity, "causes": [_cause(cause) for cause in row["causes"]]}


def _cause(row: dict[str, Any]) -> dict[str, Any]:
    steps = [{name: step[name] for name in ("text", "command", "automate", "action")} for step in row["steps"]]
    return {**row, "finding": _finding(row["finding"]), "also": [_finding(f) for f in row["also"]], "steps": steps}


def _gain(gain: Gain) -> dict[str, Any]:
    """Times are good to a millisecond."""
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(gain).items()}


def _finding(row: dict[str, Any]) -> dict[str, Any]:
    """Without the rule's own parts: the remedy stands in the cause's steps."""
    return {name: value for name, value in row.items() if name not in {"steps", "values", "urgent"}}
