"""A finding from what lines say by themselves."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.reported.statement import Statement
from reaper_ops.core.doctor.rules.reported.statements import statements
from reaper_ops.core.health.report import Evidence

SHOWN = 3
ORDER = tuple(Confidence)


def reported(case: HostEvidence, cause: str, severity: Severity | None = None) -> Finding | None:
    """The surest statement of this cause, the last where several are; with some lines of the same cause."""
    rows = [row for row in statements(case) if row.cause == cause]
    return of(rows, severity) if rows else None


def probed(case: HostEvidence, cause: str) -> Finding | None:
    """What the probe itself met with, otherwise what lines say."""
    verdict = case.verdict_of(cause)
    return Finding(verdict.summary, verdict.evidence) if verdict else reported(case, cause)


def buffer_limit(case: HostEvidence) -> Finding | None:
    """That one buffer, and not the card, is the limit."""
    rows = [row for row in statements(case) if row.cause == "rocm-vulkan-oom" and row.confidence is Confidence.CERTAIN]
    return of(rows) if rows else None


def of(rows: list[Statement], severity: Severity | None = None) -> Finding:
    best = min(reversed(rows), key=lambda row: (ORDER.index(row.confidence), row.steps is None, -len(row.summary)))
    lines = dict.fromkeys((row.source, excerpt(row.line)) for row in (best, *reversed(rows)))
    shown = tuple(Evidence(*line) for line in list(lines)[:SHOWN])
    return Finding(best.summary, shown, best.confidence, best.values, severity, best.steps)


def named(finding: Finding, id_: str, title: str, severity: Severity) -> Finding:
    """With the id and weight of its rule, and the title of its page where the line has no words of its own."""
    summary = finding.summary or (title if title[1:2].isupper() else title[:1].lower() + title[1:]).rstrip(".")
    return replace(finding, id=id_, summary=summary, severity=finding.severity or severity)
