"""What a rule says of one host, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reaper_ops.core.health.report import Evidence


class Severity(StrEnum):
    """error: something does not work, or lies open. warning: it works, and should not stay so."""

    ERROR = "error"
    WARNING = "warning"


class Confidence(StrEnum):
    """certain: proven by the evidence. likely: it fits, and nothing speaks against. possible: one of several."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Automate(StrEnum):
    """safe: reversible, and touches Ollama alone. ask: needs a yes. never: a person does it."""

    SAFE = "safe"
    ASK = "ask"
    NEVER = "never"


@dataclass(frozen=True)
class Step:
    """One step of a remedy. command is typed on the host, with `{places}`; action is our own (see core.remedy).

    within: places whose directories the path must lie in; without them it may be any path of the host. unknown: the
    sentence instead, for a host whose evidence does not give what the command needs.
    """

    text: str
    command: str = ""
    automate: Automate = Automate.NEVER
    action: str = ""
    within: tuple[str, ...] = ()
    unknown: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. values fill the places of the rule's steps; severity and steps are the rule's own
    unless this host calls for others. urgent: it stands before every other finding. id is set by the rule."""

    summary: str
    evidence: tuple[Evidence, ...]
    confidence: Confidence = Confidence.CERTAIN
    values: Mapping[str, str] = field(default_factory=dict)
    severity: Severity | None = None
    steps: tuple[Step, ...] | None = None
    urgent: bool = False
    id: str = ""
