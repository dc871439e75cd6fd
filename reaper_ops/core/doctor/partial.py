"""What lines of the evidence say although no rule could judge the host: a missing fact lowers the confidence only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reaper_ops.core.doctor import runbook
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reported import finding as made
from reaper_ops.core.doctor.rules.reported.standing import proven_well
from reaper_ops.core.doctor.rules.reported.statement import Statement
from reaper_ops.core.doctor.rules.reported.statements import statements
from reaper_ops.core.doctor.rules.reported.texts import loaded_last
from reaper_ops.core.doctor.rules.rule import Rule

SYMPTOMS = frozenset({"gpu-not-used", "runner-crash-other", "service-crash-looping"})
"""Findings that explain a state, and call for a cause themselves."""
OUTDONE = frozenset({"proxy-env-intercepts-localhost"})
"""A warning that explains what clients say better than a guess does."""
HYGIENE = frozenset(
    {
        *("unit-overwritten-by-upgrade", "no-swap", "version-skew", "unknown-env-var", "secrets-in-logs"),
        *("exposed-unauthenticated", "docker-bypasses-ufw", "vulnerable-version", "origins-wildcard", "runs-as-root"),
        *("orphaned-blobs", "volume-not-persisted"),
    }
)
"""True, and seldom the cause of a failure: they stand beneath a fault."""
Reach = Callable[[str], set[str]]
OF_STARTS = frozenset(
    {
        *("port-taken", "bind-address-missing", "bad-origins-panic", "env-value-invalid", "program-not-executable"),
        *("service-home-missing", "systemd-exec-failed", "unit-file-invalid", "system-libraries-too-old"),
    }
)
"""Why a start fails: past when the server of a host that was read answers. A pasted text may show another's start."""
OF_LOADS = frozenset(
    {
        *("vram-oom-load", "vram-oom-runtime", "rocm-vulkan-oom", "ram-preflight-refused", "context-oversized"),
        *("kernel-oom-kill", "load-timeout", "client-timeout-too-short", "runner-crash-other", "model-incompatible"),
        *("gpu-library-missing", "overcommit-or-ulimit"),
    }
)
"""A later load that succeeded makes these a thing of the past."""
OF_A_KNOWN_SERVER = frozenset(
    {"kernel-oom-kill", "container-memory-limit-oom", "systemd-memorymax-oom", "service-crash-looping"}
)
"""Where unit or process are known, the rules say whose kill the kernel logged, and whether the starts still fail."""


def completed(
    case: HostEvidence, findings: Sequence[Finding], rules: Mapping[str, Rule], reach: Reach
) -> list[Finding]:
    """The findings, and those for which a line speaks and no rule did."""
    if proven_well(case):
        return list(findings)
    more = _more(case, findings, rules, reach)
    settled = [f.id for f in findings if f.severity is Severity.ERROR and str(case.state) in reach(f.id)]
    if settled:
        more = [finding for finding in more if SYMPTOMS.issuperset(settled) and reach(finding.id) & SYMPTOMS]
    return [*findings, *more]


def _more(case: HostEvidence, findings: Sequence[Finding], rules: Mapping[str, Rule], reach: Reach) -> list[Finding]:
    present = {finding.id for finding in findings}
    covered = present.union(*(reach(id_) for id_ in present))
    by_cause: dict[str, list[Statement]] = {}
    for row in statements(case):
        if row.cause in rules and row.cause not in covered:
            by_cause.setdefault(row.cause, []).append(row)
    past = _past(case)
    kept = {cause: rows for cause, rows in by_cause.items() if cause not in past}
    doubtful = {cause for cause, rows in kept.items() if all(row.confidence is Confidence.POSSIBLE for row in rows)}
    settled = any((f.severity is Severity.ERROR and f.id not in HYGIENE) or f.id in OUTDONE for f in findings)
    if len(doubtful) < len(kept) or settled:
        kept = {cause: rows for cause, rows in kept.items() if cause not in doubtful}
    explained = set().union(*(reach(cause) for cause in kept)) if kept else set()
    return [_named(made.of(rows), rules[cause]) for cause, rows in kept.items() if cause not in explained]


def _past(case: HostEvidence) -> frozenset[str]:
    """Causes of which lines no longer say anything about the present."""
    answers = case.seen.version is not None and not case.traces.shown
    return (
        (OF_LOADS if loaded_last(case) else frozenset())
        | (OF_A_KNOWN_SERVER if _server_is_known(case) else frozenset())
        | (OF_STARTS if answers and _server_is_known(case) else frozenset())
    )


def _server_is_known(case: HostEvidence) -> bool:
    return case.facts is not None and (case.facts.unit is not None or case.facts.process is not None)


def _named(finding: Finding, rule: Rule) -> Finding:
    return made.named(finding, rule.id, runbook.parse(rule.text).title, rule.severity)
