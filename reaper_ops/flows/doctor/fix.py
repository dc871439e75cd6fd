"""`doctor --fix`: apply what was allowed, look again, take back what did not help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core import isolation
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
    broken: dict[str, str] = {}
    offers = isolation.each(patients, lambda one: _offered(before, one), lambda one: one.host, broken)
    before = _with_problems(before, broken)
    offered = tuple(proposal for proposals_, _ in offers.values() for proposal in proposals_)
    confirmed = {host: one for host, (_, one) in offers.items() if one is not None}
    chosen = choose(before, offered)
    if not chosen:
        return Fixed(before, before)
    problems = _apply(source, chosen, confirmed, on_event)
    after = doctor.examine(doctor.collect(source, on_event)[1], words)
    outcomes = tuple(_outcome(proposal, problems, after) for proposal in chosen)
    return Fixed(before, after, _settled(source, outcomes, on_event))


def _offered(checkup: FleetDiagnosis, one: HostSnapshot) -> tuple[tuple[Proposal, ...], Confirmed | None]:
    """To apply is offered with its plan, which goes along; where it cannot be planned or done, it is not offered."""
    mine = FleetDiagnosis(tuple(host for host in checkup.hosts if host.host == one.host))
    ours = {one.host: directories(one.settings, one.facts)}
    found = proposals(mine, {one.host: one.facts}, ours)
    others = tuple(proposal for proposal in found if proposal.action != "apply")
    if one.facts is None or len(others) == len(found):
        return others, None
    intent = desired_state.derive(one.settings, one.facts)
    if intent.plan.blockers:
        return others, None
    offered = tuple(replace(it, plan=intent.plan.actions) if it.action == "apply" else it for it in found)
    return offered, choices.confirm(intent, choices.of(intent))


def _with_problems(checkup: FleetDiagnosis, broken: Mapping[str, str]) -> FleetDiagnosis:
    """A host for which no remedy could be worked out says so; its diagnosis stays."""
    hosts = [replace(h, problem=h.problem or broken[h.host]) if h.host in broken else h for h in checkup.hosts]
    return FleetDiagnosis(tuple(hosts))


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
