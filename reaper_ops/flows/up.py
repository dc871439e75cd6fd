"""`up`: read, plan, show, ask, apply what differs, read again, judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from reaper_ops.adapters import ansible, lockfile
from reaper_ops.adapters.ansible import OnEvent, Run, Source
from reaper_ops.core.delivery import request
from reaper_ops.core.delivery.lock import Lock
from reaper_ops.core.report import HostReport, Report
from reaper_ops.flows import plan as planning
from reaper_ops.flows import probe
from reaper_ops.flows.gather import Gathered, gather
from reaper_ops.flows.models_change import owner
from reaper_ops.flows.plan import Planned

Confirm = Callable[[Planned], bool]
WAIT = "Wait until the API answers"


@dataclass(frozen=True)
class Outcome:
    """What `up` did: the plan, what changed per host by action id, and the report after it."""

    planned: Planned
    report: Report
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    applied: bool = False


def up(source: Source, *, confirm: Confirm, on_event: OnEvent | None = None) -> Outcome:
    """`confirm` is shown the plan and says whether it may be applied; an empty plan applies nothing."""
    planned = planning.plan(source, on_event)
    if not planned.to_apply:
        return Outcome(planned, prove(source, planned, planned.gathered, None))
    if not confirm(planned):
        return Outcome(planned, Report("up", ()))
    run = ansible.playbook(
        "site.yml", source, on_event=on_event, limit=",".join(planned.to_apply), variables=_delivery(source, planned)
    )
    again = gather(source, planned.inventory, planned.to_apply, on_event)
    merged = Gathered({**planned.gathered.facts, **again.facts}, {**planned.gathered.problems, **again.problems})
    return Outcome(planned, prove(source, planned, merged, run), changes(run), applied=True)


def _delivery(source: Source, planned: Planned) -> dict[str, object]:
    """What was confirmed, and the lock beside the inventory, where there is one, for the models of these hosts."""
    lock = lockfile.read(lockfile.place(source)) or Lock()
    wanted = {name for host in planned.inventory.hosts for name in host.settings.models()}
    known = {"reaper_locked": request.locked(lock, wanted), "reaper_owner": owner()}
    confirmed = {host: planned.confirmed[host].as_json() for host in planned.to_apply}
    return {**known, **planned.mirror.variables(), "reaper_confirmed": confirmed}


def changes(run: Run) -> dict[str, tuple[str, ...]]:
    """Ids of the actions that changed something, per host, in order."""
    found: dict[str, dict[str, None]] = {}
    for event in run.results:
        if event["event"] == "changed":
            found.setdefault(event["host"], {})[event.get("id") or event["task"]] = None
    return {host: tuple(ids) for host, ids in found.items()}


def prove(source: Source, planned: Planned, gathered: Gathered, run: Run | None) -> Report:
    """The state of every host after the run, with what went wrong on the way."""
    judged = probe.probe(source, planned.inventory, known=gathered)
    unproven = integrity_only(run) if run else {}
    blocked = {plan.host: "; ".join(plan.blockers) for plan in planned.plans if plan.blockers}
    failed = dict(run.failed) | dict(run.unreachable) if run else {}
    changed = changes(run) if run else {}
    hosts = [_with(host, blocked, failed, changed) for host in judged.hosts]
    kept = withheld(run) if run else {}
    noted = tuple(replace(h, notes=(*h.notes, *unproven.get(h.host, ())), withheld=kept.get(h.host, ())) for h in hosts)
    return Report("up", noted, judged.time)


def withheld(run: Run) -> dict[str, tuple[str, ...]]:
    """What was not done, because the host was no more as the plan showed it."""
    return {e["host"]: tuple(e["result"]["withheld"]) for e in run.results if e.get("result", {}).get("withheld")}


def integrity_only(run: Run) -> dict[str, tuple[str, ...]]:
    """Hosts whose release was checked against a file of the same origin only."""
    note = "the release was checked against its own checksum file: that proves integrity, not origin"
    return {e["host"]: (note,) for e in run.results if e.get("result", {}).get("verified_by") == "release-file"}


def _with(
    host: HostReport, blocked: Mapping[str, str], failed: Mapping[str, str], changed: Mapping[str, tuple[str, ...]]
) -> HostReport:
    name = host.host
    if name in blocked:
        return replace(host, problem=f"was not touched: {blocked[name]}")
    if name in failed:
        waited = failed[name].startswith(f"{WAIT}:")
        problem = "the API did not answer within ollama_start_timeout after the start" if waited else failed[name]
        return replace(host, problem=problem, changed=changed.get(name, ()))
    return replace(host, changed=changed.get(name, ()))
