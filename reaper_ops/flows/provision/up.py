"""`up`: read, plan, show, ask, apply what differs, read again, judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import OnEvent, Run, Source
from reaper_ops.adapters.pull_lock import owner
from reaper_ops.core.health.report import HostReport, Report, State
from reaper_ops.core.provision import applied
from reaper_ops.core.provision.plan_file import PlanFile
from reaper_ops.flows.health import probe
from reaper_ops.flows.inventory.gather import Gathered, gather
from reaper_ops.flows.provision import plan as planning
from reaper_ops.flows.provision import plan_file as filing
from reaper_ops.flows.provision.plan import Planned

Confirm = Callable[[Planned], bool]


@dataclass(frozen=True)
class UpOutcome:
    """What `up` did: the plan, what changed per host by action id, and the report after it."""

    planned: Planned
    report: Report
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    applied: bool = False


def up(
    source: Source, *, confirm: Confirm, given: PlanFile | None = None, on_event: OnEvent | None = None
) -> UpOutcome:
    """`confirm` is shown the plan and says whether it may be applied; an empty plan applies nothing.

    given: a plan file; a host that is to get anything beyond it is left alone.
    """
    planned = planning.plan(source, on_event)
    planned = filing.held(source, planned, given) if given else planned
    if not planned.to_apply:
        return UpOutcome(planned, prove(source, planned, planned.gathered, None))
    if not confirm(planned):
        return UpOutcome(planned, Report("up", ()))
    run = ansible.playbook(
        "site.yml", source, on_event=on_event, limit=",".join(planned.to_apply), variables=_delivery(source, planned)
    )
    again = gather(source, planned.inventory, planned.to_apply, on_event)
    return UpOutcome(planned, prove(source, planned, _renewed(planned, again), run), changes(run), applied=True)


def _renewed(planned: Planned, again: Gathered) -> Gathered:
    """What is known after the run: nothing from before it of a host that was to be changed."""
    old = {host: facts for host, facts in planned.gathered.facts.items() if host not in planned.to_apply}
    return replace(planned.gathered, facts=old, lost=frozenset()).joined(again)


def _delivery(source: Source, planned: Planned) -> dict[str, object]:
    """What was confirmed, and the lock beside the inventory, where there is one, for the models of these hosts."""
    confirmed = {host: planned.confirmed[host].as_json() for host in planned.to_apply}
    return {**filing.models(source, planned), "reaper_owner": owner(), "reaper_confirmed": confirmed}


def changes(run: Run) -> dict[str, tuple[str, ...]]:
    """Ids of the actions that changed something, per host, in order; one that failed on the way is not among them."""
    found: dict[str, dict[str, None]] = {}
    for event in run.results:
        host, id_ = event["host"], event.get("id") or event["task"]
        if event["event"] == "changed" and (host, id_) not in run.broken:
            found.setdefault(host, {})[id_] = None
    return {host: tuple(ids) for host, ids in found.items()}


def prove(source: Source, planned: Planned, gathered: Gathered, run: Run | None) -> Report:
    """The state of every host after the run, with what went wrong on the way."""
    judged = probe.probe(source, planned.inventory, known=gathered)
    unproven = integrity_only(run) if run else {}
    blocked = {plan.host: plan.blockers for plan in planned.plans if plan.blockers}
    changed = changes(run) if run else {}
    hosts = [replace(_with(host, blocked, run, gathered), changed=changed.get(host.host, ())) for host in judged.hosts]
    kept = {**planned.refused, **(run.withheld if run else {})}
    noted = tuple(replace(h, notes=(*h.notes, *unproven.get(h.host, ())), withheld=kept.get(h.host, ())) for h in hosts)
    absent = [HostReport(name, None, withheld=kept[name]) for name in kept if name not in planned.inventory.by_name]
    return Report("up", (*noted, *absent), judged.time)


def _with(host: HostReport, blocked: Mapping[str, tuple[str, ...]], run: Run | None, gathered: Gathered) -> HostReport:
    name = host.host
    if name in blocked:
        return applied.not_touched(host, blocked[name])
    if run is None:
        return host
    if name in gathered.lost and host.state is not State.HEALTHY:
        during = next((id_ for broken, id_ in sorted(run.broken) if broken == name), "")
        return applied.lost(host, during, gathered.problems.get(name, ""))
    return applied.ended(host, run.failed.get(name, ""), run.unreachable.get(name, ""), run.steps.get(name, ""))


def integrity_only(run: Run) -> dict[str, tuple[str, ...]]:
    """Hosts whose release was checked against a file of the same origin only."""
    found = [e["host"] for e in run.results if e.get("result", {}).get("verified_by") == "release-file"]
    return dict.fromkeys(found, (applied.INTEGRITY_ONLY,))
