"""`plan`: what `up` would change on each host, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core import isolation
from reaper_ops.core.inventory.hosts import Inventory
from reaper_ops.core.mirror.site import Chosen
from reaper_ops.core.provision import choices, desired_state
from reaper_ops.core.provision.choices import PlanChoice
from reaper_ops.core.provision.confirmed import Confirmed
from reaper_ops.core.provision.plan import Plan
from reaper_ops.core.provision.plan.download import Download
from reaper_ops.errors import ExitCode
from reaper_ops.flows.inventory.gather import Gathered, survey
from reaper_ops.flows.mirror import site as site_mirror

MISSING = (
    "this machine has no readable file {0}, which it is to bring to the host; put the archive there, "
    "or correct ollama_release_url and ollama_version"
)


@dataclass(frozen=True)
class Planned:
    """plans of the hosts that could be read, in inventory order; problems of the others.

    choices: what may follow on a host, once engine and tools are installed; confirmed: what goes along with the run.
    refused: hosts that are left alone, with what a plan file does not have.
    """

    inventory: Inventory
    gathered: Gathered
    plans: tuple[Plan, ...]
    mirror: Chosen = field(default_factory=Chosen)
    choices: Mapping[str, tuple[PlanChoice, ...]] = field(default_factory=dict)
    confirmed: Mapping[str, Confirmed] = field(default_factory=dict)
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def problems(self) -> Mapping[str, str]:
        return self.gathered.problems

    @property
    def to_apply(self) -> tuple[str, ...]:
        return tuple(p.host for p in self.plans if p.actions and not p.blockers and p.host not in self.refused)

    @property
    def exit_code(self) -> ExitCode:
        """3 when a host is blocked, 5 when one could not be read, 4 for warnings, else 0."""
        blocked, warned = any(plan.blockers for plan in self.plans), any(plan.warnings for plan in self.plans)
        return ExitCode.worst(errors=blocked, unknown=self.problems, warnings=warned)


def plan(source: Source, on_event: OnEvent | None = None) -> Planned:
    inventory, gathered = survey(source, on_event)
    planned = compute(inventory, gathered)
    pulls = any("models/pull" in plan.todo for plan in planned.plans)
    return confirmable(replace(planned, mirror=site_mirror.choose(source, inventory)) if pulls else planned)


def confirmable(planned: Planned) -> Planned:
    """With what goes along once it is confirmed: as the hosts will compute it, the chosen mirror included."""
    problems = dict(planned.gathered.problems)

    def along(name: str) -> tuple[tuple[PlanChoice, ...], Confirmed]:
        settings = planned.mirror.settings(name, planned.inventory.by_name[name].settings)
        intent = desired_state.derive(settings, planned.gathered.facts[name])
        found = choices.of(intent)
        return found, choices.confirm(intent, found)

    wanted = [plan.host for plan in planned.plans if plan.actions]
    rows = isolation.each(wanted, along, str, problems)
    return replace(
        planned,
        gathered=replace(planned.gathered, problems=problems),
        plans=tuple(plan for plan in planned.plans if plan.host in rows or plan.host not in wanted),
        choices={name: found for name, (found, _) in rows.items()},
        confirmed={name: confirmed for name, (_, confirmed) in rows.items()},
    )


def compute(inventory: Inventory, gathered: Gathered) -> Planned:
    """Plans from facts; a second look with sizes is taken only where something is to be downloaded."""
    problems = dict(gathered.problems)
    intents = isolation.each(
        [host for host in inventory.hosts if host.name in gathered.facts],
        lambda host: desired_state.derive(host.settings, gathered.facts[host.name]),
        lambda host: host.name,
        problems,
    )
    wanted = {name for intent in intents.values() for name in intent.downloads()}
    known = _sizes(wanted) if wanted else {}

    def carried(name: str) -> Plan:
        settings, facts = inventory.by_name[name].settings, gathered.facts[name]
        return _carried(desired_state.derive(settings, facts, known) if known else intents[name])

    plans = isolation.each(intents, carried, str, problems)
    return Planned(inventory, replace(gathered, problems=problems), tuple(plans.values()))


def _carried(intent: desired_state.Intent) -> Plan:
    """The plan; blocked where this machine lacks an archive that it is to bring to the host."""
    wanted = [one for one in intent.downloads() if one.url.startswith("/")]
    if not wanted:
        return intent.plan
    from reaper_ops.adapters import sizes

    missing = tuple(MISSING.format(one.url) for one in wanted if sizes.is_missing(one))
    return replace(intent.plan, blockers=(*intent.plan.blockers, *missing))


def _sizes(wanted: set[Download]) -> Mapping[str, int]:
    from reaper_ops.adapters import sizes

    return sizes.look_up(wanted)
