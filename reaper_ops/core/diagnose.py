"""From all findings of a host to its causes: consequences fold under what explains them, the first cause first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reaper_ops.core import evidence, remedy
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.probe import Observation
from reaper_ops.core.report import Evidence, State
from reaper_ops.core.rules.case import Case
from reaper_ops.core.rules.catalogue import RULES
from reaper_ops.core.rules.rule import Rule
from reaper_ops.core.rules.state import examined, notes, simulated
from reaper_ops.core.settings import Settings

BY_ID: Mapping[str, Rule] = {rule.id: rule for rule in RULES}
ORDER = {rule.id: place for place, rule in enumerate(RULES)}
CONFIDENCE = tuple(Confidence)


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
    """state is None when the host could not be looked at; problem then says why. summary, evidence and next_step
    are the probe's own words for the state; questions are what only a person can answer."""

    host: str
    state: State | None
    summary: str = ""
    evidence: tuple[Evidence, ...] = ()
    next_step: str = ""
    causes: tuple[Cause, ...] = ()
    blind: tuple[Blind, ...] = ()
    questions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()
    url: str = ""
    version: str | None = None
    problem: str = ""

    @property
    def severity(self) -> Severity | None:
        """The worst of its causes; error for a state that nothing explains."""
        found = {cause.finding.severity for cause in self.causes}
        if Severity.ERROR in found or (not found and self.state not in {None, State.HEALTHY}):
            return Severity.ERROR
        return Severity.WARNING if found else None


def diagnose(
    settings: Settings,
    observation: Observation,
    facts: Facts | None = None,
    expected_models: Sequence[str] = (),
    *,
    source: str = "",
) -> Diagnosis:
    """All rules on one host."""
    case = examined(Case(settings, observation, facts, tuple(expected_models), source))
    findings = [found for rule in RULES if (found := rule(case)) is not None]
    causes = tuple(_cause(case, finding, findings) for finding in ranked(findings, case.state))
    blind = _blind(case, {finding.id for finding in findings})
    unexplained = case.state is not State.HEALTHY and not any(_explains(c.finding.id, case.state) for c in causes)
    first = case.verdicts[0]
    return Diagnosis(
        host=case.host,
        state=case.state,
        summary=first.summary,
        evidence=first.evidence,
        next_step=first.next_step,
        causes=causes,
        blind=blind,
        questions=_questions(case) if unexplained else (),
        notes=notes(case),
        simulated=simulated(case),
        url=observation.url,
        version=observation.version,
    )


def ranked(findings: Sequence[Finding], state: State) -> list[Finding]:
    """Those that no other finding explains; first what explains the state, then by weight, certainty and catalogue."""
    present = {finding.id for finding in findings}
    explained = {other for id_ in present for other in _reach(id_)}
    roots = [finding for finding in findings if finding.id not in explained]
    return sorted(
        roots,
        key=lambda f: (
            not _explains(f.id, state),
            f.severity is not Severity.ERROR,
            CONFIDENCE.index(f.confidence),
            ORDER[f.id],
        ),
    )


def _explains(id_: str, state: State) -> bool:
    """By itself, or over what it explains."""
    return str(state) in _reach(id_)


def _reach(id_: str) -> set[str]:
    found: set[str] = set()
    todo = [id_]
    while todo:
        for name in BY_ID[todo.pop()].explains:
            if name not in found:
                found.add(name)
                todo += [name] if name in BY_ID else []
    return found


def _cause(case: Case, finding: Finding, findings: Sequence[Finding]) -> Cause:
    rule, reach = BY_ID[finding.id], _reach(finding.id)
    places = {**remedy.places(case), **finding.values}
    steps = finding.steps if finding.steps is not None else rule.steps
    return Cause(
        finding=finding,
        also=tuple(other for other in findings if other.id in reach and other.id != finding.id),
        steps=tuple(
            replace(s, text=remedy.fill(s.text, places), command=remedy.fill(s.command, places)) for s in steps
        ),
        verify=remedy.fill(rule.verify, places),
    )


def _blind(case: Case, found: set[str]) -> tuple[Blind, ...]:
    gaps = evidence.missing(case.settings, case.facts)
    blind = [
        Blind(part, why, tuple(rule.id for rule in RULES if part in rule.needs and rule.id not in found))
        for part, why in gaps.items()
    ]
    return tuple(gap for gap in blind if gap.ids)


def _questions(case: Case) -> tuple[str, ...]:
    places = remedy.places(case)
    return tuple(
        f"{remedy.fill(rule.question, places)} ({rule.id})"
        for rule in RULES
        if rule.question and _explains(rule.id, case.state)
    )
