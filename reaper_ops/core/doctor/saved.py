"""Reports that were kept: the JSON of `probe`, `up` and `doctor`. Whoever wrote the file is not trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reaper_ops.core.doctor import diagnosis
from reaper_ops.core.doctor.diagnosis import Diagnosis
from reaper_ops.core.health.report import SCHEMA, HostReport, Report
from reaper_ops.errors import ReaperError

HINT = "keep reports with: reaper-ops probe -o json > FILE"


@dataclass(frozen=True)
class SavedReport:
    """A report and, where `doctor` wrote it, what it found; hosts of a diagnosis are in the report too."""

    report: Report
    diagnoses: tuple[Diagnosis, ...] = ()


def load(place: str, text: str, written: float) -> SavedReport:
    """written: when the file was, for a report that does not say when it was taken."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ReaperError(place, f"is not JSON: {exc}", HINT) from None
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema not in {SCHEMA, diagnosis.SCHEMA} or not isinstance(value.get("hosts"), list):
        raise ReaperError(place, "is no report of reaper_ops in a form that this version knows", HINT)
    taken = _moment(value.get("time")) or written
    verb = str(value.get("verb") or "probe")
    try:
        if schema == SCHEMA:
            return SavedReport(Report(verb, _hosts().validate_python(value["hosts"]), taken))
        found = _diagnoses().validate_python(value["hosts"])
    except ValidationError as exc:
        first = exc.errors()[0]
        path = "/".join(str(part) for part in first["loc"])
        raise ReaperError(f"{place}: hosts/{path}", first["msg"], HINT) from None
    return SavedReport(Report(verb, tuple(map(of_diagnosis, found)), taken), found)


def of_diagnosis(found: Diagnosis) -> HostReport:
    """What a diagnosis says in the shape of a probe's report."""
    return HostReport(
        found.host,
        found.state,
        found.summary,
        found.evidence,
        found.causes[0].finding.id if found.causes else None,
        found.next_step,
        found.problem,
        found.version,
        found.url,
        found.models,
        notes=found.notes,
        simulated=found.simulated,
        facts=found.facts,
    )


@cache
def _hosts() -> TypeAdapter[tuple[HostReport, ...]]:
    return TypeAdapter(tuple[HostReport, ...])


@cache
def _diagnoses() -> TypeAdapter[tuple[Diagnosis, ...]]:
    return TypeAdapter(tuple[Diagnosis, ...])


def _moment(text: object) -> float:
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else 0.0
    except (ValueError, OverflowError):
        return 0.0
