"""From all findings of a host to its causes: consequences fold under what explains them, the first cause first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reaper_ops.core.doctor import evidence, partial, remedy
from reaper_ops.core.doctor.diagnosis import Blind as Blind
from reaper_ops.core.doctor.diagnosis import Cause as Cause
from reaper_ops.core.doctor.diagnosis import Diagnosis as Diagnosis
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict
from reaper_ops.core.doctor.rules.catalogue import RULES
from reaper_ops.core.doctor.rules.reported import standing
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.state import examined as examined
from reaper_ops.core.doctor.rules.state import notes, simulated
from reaper_ops.core.health import measures
from reaper_ops.core.health.report import State

BY_ID: Mapping[str, Rule] = {rule.id: rule for rule in RULES}
ORDER = {rule.id: place for place, rule in enumerate(RULES)}
CONFIDENCE = tuple(Confidence)
HYGIENE = partial.HYGIENE
LAST = ("unexplained-errors",)
"""Judged when all others have spoken."""
AT_WORK = frozenset({State.HEALTHY, State.DEGRADED})
"""States without a failure to explain: there a grave finding comes first, hygiene or not."""
UNASKED = Verdict(State.DEGRADED, "the API was not asked")


def diagnose(case: HostEvidence) -> Diagnosis:
    """All rules on one host; `case` as `rules.state.examined` gives it."""
    first_pass = [found for rule in RULES if rule.id not in LAST and (found := rule(case)) is not None]
    findings = _with_the_rest(case, partial.completed(case, first_pass, BY_ID, _reach))
    asked = standing.asked(case)
    causes = tuple(_cause(case, finding, findings) for finding in ranked(findings, case.state if asked else None))
    blind = _blind(case, {finding.id for finding in findings})
    first = case.verdicts[0] if asked else UNASKED
    explained = case.state is State.HEALTHY or any(
        cause.finding.id == first.cause or _explains(cause.finding.id, case.state) for cause in causes
    )
    return Diagnosis(
        host=case.host,
        state=case.state if asked else None,
        summary=first.summary,
        evidence=first.evidence,
        next_step=first.next_step,
        explained=explained,
        causes=causes,
        blind=blind,
        questions=() if explained else _questions(case),
        notes=notes(case),
        simulated=simulated(case),
        url=case.seen.url,
        version=case.seen.version,
        models=tuple(model.name for model in case.seen.models or ()),
        facts=measures.take(case.seen, case.facts),
    )


def _with_the_rest(case: HostEvidence, findings: list[Finding]) -> list[Finding]:
    """Errors that nothing explains are a finding of their own; a runner's end explains the requests that it failed."""
    if any(finding.id in partial.OF_LOADS for finding in findings):
        return findings
    if any(finding.severity is Severity.ERROR and finding.id not in HYGIENE for finding in findings):
        return findings
    shown = {item.text for finding in findings if finding.id not in HYGIENE for item in finding.evidence}
    rest = [found for id_ in LAST if (found := BY_ID[id_](case)) is not None]
    return [*findings, *(found for found in rest if {item.text for item in found.evidence} - shown)]


def ranked(findings: Sequence[Finding], state: State | None) -> list[Finding]:
    """Those that no other finding explains: urgent ones, then those that explain the state, then the others.

    Among equals the order is by severity, confidence and catalogue.
    """
    present = {finding.id for finding in findings}
    explained = {other for id_ in present for other in _reach(id_)}
    roots = [finding for finding in findings if finding.id not in explained]
    return sorted(
        roots,
        key=lambda f: (
            not f.urgent,
            not _explains(f.id, state),
            f.id in HYGIENE and not (state in AT_WORK and f.severity is Severity.ERROR),
            f.severity is not Severity.ERROR,
            CONFIDENCE.index(f.confidence),
            ORDER[f.id],
        ),
    )


def _explains(id_: str, state: State | None) -> bool:
    """By itself, or over what it explains."""
    return state is not None and str(state) in _reach(id_)


def _reach(id_: str) -> set[str]:
    found: set[str] = set()
    todo = [id_]
    while todo:
        for name in BY_ID[todo.pop()].explains:
            if name not in found:
                found.add(name)
                todo += [name] if name in BY_ID else []
    return found


def _cause(case: HostEvidence, finding: Finding, findings: Sequence[Finding]) -> Cause:
    rule, reach = BY_ID[finding.id], _reach(finding.id)
    places = remedy.places(case)
    steps = finding.steps if finding.steps is not None else rule.steps
    return Cause(
        finding=finding,
        also=tuple(other for other in findings if other.id in reach and other.id != finding.id),
        steps=tuple(remedy.step(step, places, finding.values) for step in remedy.fitting(case, steps)),
        verify=remedy.step(Step("", remedy.check(case, rule.verify)), places, finding.values).command or rule.id,
    )


def _blind(case: HostEvidence, found: set[str]) -> tuple[Blind, ...]:
    gaps = evidence.missing(case.settings, case.facts)
    if case.seen.exchanges:
        gaps.pop("http", None)
    blind = [
        Blind(part, why, tuple(rule.id for rule in RULES if part in rule.needs and rule.id not in found))
        for part, why in gaps.items()
    ]
    return tuple(gap for gap in blind if gap.ids)


def _questions(case: HostEvidence) -> tuple[str, ...]:
    places = remedy.places(case)
    return tuple(
        f"{remedy.fill(rule.question, places)} ({rule.id})"
        for rule in RULES
        if rule.question and str(case.state) in rule.explains and rule.concerns(case)
    )
