"""`models list`, `ps` and `plan`: what hosts hold, in one pass over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from reaper_ops.adapters import ansible, lockfile, pulled
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core import isolation
from reaper_ops.core.facts.model import Facts, Fetched
from reaper_ops.core.inventory.hosts import Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import model_inventory, plan, table
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.model_inventory import Holding
from reaper_ops.core.models.plan import FleetPlan
from reaper_ops.core.models.strategy import AS_CONFIGURED, Strategy
from reaper_ops.core.models.table import Table
from reaper_ops.core.provision import layout
from reaper_ops.flows.inventory.gather import survey
from reaper_ops.flows.mirror import site as site_mirror


@dataclass(frozen=True)
class HeldModels:
    """Managed hosts in the order of the inventory; problems of those that could not be read."""

    inventory: Inventory
    holdings: tuple[Holding, ...]
    problems: Mapping[str, str]


def look(source: Source, on_event: OnEvent | None = None) -> HeldModels:
    inventory, gathered = survey(source, on_event)
    ours, problems = pulled.fetched(pulled.place(source)), dict(gathered.problems)
    held = isolation.each(
        [host for host in inventory.hosts if host.name in gathered.facts],
        lambda host: _holding(host.settings, gathered.facts[host.name], ours.get(host.name, {})),
        lambda host: host.name,
        problems,
    )
    return HeldModels(inventory, tuple(held.values()), problems)


def _holding(settings: Settings, facts: Facts, by_api: Mapping[str, Fetched]) -> Holding:
    return model_inventory.of(settings, facts, layout.of(settings, facts).models_dir, by_api)


def listing(source: Source, path: Path, on_event: OnEvent | None = None) -> Table:
    found = look(source, on_event)
    return table.table(found.holdings, lockfile.read(path) or Lock(), found.problems)


def planned(
    source: Source, path: Path, *, strategy: Strategy = AS_CONFIGURED, on_event: OnEvent | None = None
) -> FleetPlan:
    ansible.check_source(source)
    lock = lockfile.needed(path)
    found = look(source, on_event)
    chosen = site_mirror.choose(source, found.inventory, strategy)
    held = tuple(replace(one, settings=chosen.settings(one.host, one.settings)) for one in found.holdings)
    return replace(plan.plan(held, lock, found.problems, strategy=strategy), note=chosen.note)
