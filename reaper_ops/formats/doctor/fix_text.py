"""What `doctor --fix` offers, and what came of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reaper_ops.core.doctor.fix import FixOutcome, Proposal
from reaper_ops.core.doctor.remedy import ACTIONS, fill
from reaper_ops.formats.doctor import as_json as doctor_json
from reaper_ops.formats.health.as_text import wrapped

if TYPE_CHECKING:
    from reaper_ops.core.doctor.diagnosis import FleetDiagnosis


def offer(found: tuple[Proposal, ...]) -> str:
    """One entry per proposal: what is done, for which cause, and what speaks against it now."""
    if not found:
        return "nothing here that reaper_ops may do by itself; the steps above are yours"
    lines = ["what can be done:"]
    for one in found:
        kind = "safe" if one.is_safe else "asks first"
        lines += wrapped("", f"{one.host}: {what(one)} [{one.id}] ({kind})")
        for action in one.plan:
            lines += wrapped("    ", f"{action.id} {action.target}: {action.reason}")
        for reason in one.against:
            lines += wrapped("    but: ", reason)
    return "\n".join(lines)


def what(one: Proposal) -> str:
    return fill(ACTIONS[one.action].what, one.values)


def result(outcomes: tuple[FixOutcome, ...]) -> str:
    lines = ["what came of it:"]
    for outcome in outcomes:
        one = outcome.proposal
        lines += wrapped("", f"{one.host}: {what(one)}: {_result_of(outcome)} [{one.id}]")
    return "\n".join([*lines, ""])


def _result_of(outcome: FixOutcome) -> str:
    if outcome.problem:
        return f"failed: {outcome.problem}"
    if outcome.helped:
        return "done, and it helped"
    return "done; it did not help, and was taken back" if outcome.undone else "done; it did not help"


def document(before: FleetDiagnosis, after: FleetDiagnosis, outcomes: tuple[FixOutcome, ...]) -> dict[str, Any]:
    """The diagnosis after, with what was done under `fixes` and the causes before."""
    return {
        **doctor_json.document(after),
        "fixes": [{**asdict(o.proposal), "what": what(o.proposal), **_flags(o)} for o in outcomes],
        "before": {host.host: [cause.finding.id for cause in host.causes] for host in before.hosts},
    }


def _flags(outcome: FixOutcome) -> dict[str, object]:
    return {name: getattr(outcome, name) for name in ("done", "helped", "undone", "problem")}
