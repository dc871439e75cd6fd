"""One statement of the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reaper_ops.core.doctor.finding import Confidence, Step


@dataclass(frozen=True)
class Statement:
    """cause: the id of a rule, empty where the line names none. steps: the remedy, where it is not the rule's own."""

    cause: str
    summary: str
    line: str
    source: str
    confidence: Confidence = Confidence.LIKELY
    values: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] | None = None
