"""`doctor --fix`: apply what was allowed, look again, take back what did not help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core.doctor.diagnosis import FleetDiagnosis
from reaper_ops.core.doctor.fix import UNDO, FixOutcome, Proposal, directories, in_order, proposals
from reaper_ops.core.provision import choices, desired_state
from reaper_ops.core.provision.confirmed import Confirmed
from reaper_ops.flows.doctor import doctor
from reaper_ops.flows.doctor.doctor import HostSnapshot

Choose = Callable[[FleetDiagnosis, tuple[Proposal, ...]], tuple[Proposal, ...]]


@dataclass(frozen=True)
class Fixed:
    """before and after: the same hosts; `after` is `before` where nothing was done."""

    before: FleetDiagnosis
    after: FleetDiagnosis
    outcomes: tuple[FixOutcome, ...] = ()


def fix(source: Source, choose: Choose, on_event: OnEvent | None = None) -> Fixed:
    """`choose` is shown the diagnosis and the proposals, and gives back those that are allowed."""
    words = source.typed
    _, patients = doctor.collect(source, on_event)
    before = doctor.examine(patients, words)
    ours = {one.host: directories(one.settings, one.facts) for one in patients}
    found = proposals(before, {one.host: one.facts for one in patients}, ours)
    offered, confirmed = _planned(found, patients)
    chosen = choose(before, offered)
    if not chosen:
        return Fixed(before, before)
    problems = _apply(source, chosen, confirmed, on_event)
    after = doctor.examine(doctor.collect(source, on_event)[1], words)
    outcomes = tuple(_outcome(proposal, problems, after) for proposal in chosen)
    return Fixed(before, after, _settled(source, outcomes, on_event))


def _planned(
    found: Sequence[Proposal], patients: Sequence[HostSnapshot]
) -> tuple[tuple[Proposal, ...], Mapping[str, Confirmed]]:
    """To apply is offered with its plan, which goes along; where it cannot be planned or done, it is not offered."""
    wanted = {one.host for one in found if one.action == "apply"}
    intents = {
        p.host: desired_state.derive(p.settings, p.facts) for p in patients if p.facts is not None and p.host in wanted
    }
    possible = {host: intent for host, intent in intents.items() if not intent.plan.blockers}
    offered = tuple(
        replace(one, plan=possible[one.host].plan.actions) if one.action == "apply" else one
        for one in found
        if one.action != "apply" or one.host in possible
    )
    return offered, {host: choices.confirm(intent, choices.of(intent)) for host, intent in possible.items()}


def _apply(
    source: Source, chosen: Sequence[Proposal], confirmed: Mapping[str, Confirmed], on_event: OnEvent | None
) -> dict[str, str]:
    """Problems by host. A host that fails in one phase takes no part in the next."""
    problems: dict[str, str] = {}
    first, apply, last = in_order(chosen)
    for phase in (first, apply, last):
        todo = [proposal for proposal in phase if proposal.host not in problems]
        if not todo:
            continue
        if phase is apply:
            given = {"reaper_confirmed": {one.host: confirmed[one.host].as_json() for one in todo}}
            run = ansible.playbook("site.yml", source, on_event=on_event, limit=_limit(todo), variables=given)
        else:
            run = _tasks(source, todo, on_event)
        changed = {host: f"changed since it was shown: {'; '.join(texts)}" for host, texts in run.withheld.items()}
        problems |= {**changed, **run.unreachable, **run.failed}
    return problems


def _tasks(
    source: Source, todo: Sequence[Proposal], on_event: OnEvent | None, actions: Mapping[str, str] | None = None
) -> ansible.Run:
    fixes: dict[str, list[dict[str, object]]] = {}
    for proposal in todo:
        fixes.setdefault(proposal.host, []).append(proposal.task((actions or {}).get(proposal.action, "")))
    variables = {"reaper_fixes": fixes}
    return ansible.playbook("fix.yml", source, on_event=on_event, limit=_limit(todo), variables=variables)


def _limit(todo: Sequence[Proposal]) -> str:
    return ",".join(dict.fromkeys(proposal.host for proposal in todo))


def _outcome(proposal: Proposal, problems: Mapping[str, str], after: FleetDiagnosis) -> FixOutcome:
    problem = problems.get(proposal.host, "")
    host = next(host for host in after.hosts if host.host == proposal.host)
    left = {finding.id for cause in host.causes for finding in (cause.finding, *cause.also)}
    return FixOutcome(proposal, not problem, proposal.id not in left and not host.problem, problem=problem)


def _settled(source: Source, outcomes: tuple[FixOutcome, ...], on_event: OnEvent | None) -> tuple[FixOutcome, ...]:
    """Takes back what did not help, and clears away what was only kept for that."""
    back = [o.proposal for o in outcomes if not o.helped and o.proposal.action in UNDO]
    kept = [o.proposal for o in outcomes if o.helped and UNDO.get(o.proposal.action) == "restore"]
    undone: frozenset[str] = frozenset()
    if back:
        run = _tasks(source, back, on_event, UNDO)
        undone = frozenset(p.host for p in back) - {*run.failed, *run.unreachable}
    if kept:
        _tasks(source, kept, on_event, dict.fromkeys(UNDO, "discard"))
    return tuple(replace(o, undone=o.proposal in back and o.proposal.host in undone) for o in outcomes)
