"""What a diagnosis says: causes with their consequences, evidence and remedy, and what could not be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reaper_ops.core.doctor.finding import Finding, Severity, Step
from reaper_ops.core.health.report import WARNINGS, Evidence, State
from reaper_ops.core.isolation import NEXT_STEP
from reaper_ops.errors import ExitCode

SCHEMA = "reaper-ops/diagnosis/1"


@dataclass(frozen=True)
class Cause:
    """A finding that no other explains. also: its consequences. steps: the remedy, in order, places filled."""

    finding: Finding
    also: tuple[Finding, ...]
    steps: tuple[Step, ...]
    verify: str


@dataclass(frozen=True)
class Blind:
    """A part of the evidence that was not read, and the ids that could not be decided without it."""

    part: str
    why: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """state is None when nothing was asked over HTTP; problem says why a host could not be looked at at all.

    summary, evidence and next_step are the probe's own words for the state. explained: whether a cause accounts for
    the state; questions are what only a person can answer where none does; facts is what was measured,
    as in a probe's report.
    """

    host: str
    state: State | None
    summary: str = ""
    evidence: tuple[Evidence, ...] = ()
    next_step: str = ""
    explained: bool = True
    causes: tuple[Cause, ...] = ()
    blind: tuple[Blind, ...] = ()
    questions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    url: str = ""
    version: str | None = None
    models: tuple[str, ...] = ()
    problem: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def severity(self) -> Severity | None:
        """The worst of its state and its causes; None for a healthy host."""
        found = {cause.finding.severity for cause in self.causes}
        sick = self.state not in {None, State.HEALTHY}
        if Severity.ERROR in found or (sick and self.state not in WARNINGS):
            return Severity.ERROR
        return Severity.WARNING if found or sick else None


def broken(host: Diagnosis, said: str) -> Diagnosis:
    """In the place of a diagnosis that cannot be shown."""
    return Diagnosis(host.host, None, problem=said, next_step=NEXT_STEP, url=host.url)


@dataclass(frozen=True)
class FleetDiagnosis:
    """The diagnoses of a fleet; it alone owns status and exit code."""

    hosts: tuple[Diagnosis, ...]

    @property
    def status(self) -> str:
        """healthy, warning, error; unknown when a host could not be looked at and none is in error."""
        found = {host.severity for host in self.hosts}
        if Severity.ERROR in found:
            return "error"
        if any(host.state is None for host in self.hosts):
            return "unknown"
        return "warning" if found - {None} else "healthy"

    @property
    def exit_code(self) -> ExitCode:
        """0 healthy, 3 a finding is an error, 4 only warnings, 5 too little could be checked."""
        return ExitCode.of(self.status)
