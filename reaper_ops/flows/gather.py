"""Reads what hosts are, all at once, through Ansible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import Event, OnEvent, Run, Source
from reaper_ops.core import facts as core_facts
from reaper_ops.core import inventory as core_inventory
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory import Inventory


@dataclass(frozen=True)
class Gathered:
    """facts of the hosts that answered; problems of those that did not, in a sentence each."""

    facts: Mapping[str, Facts] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def survey(source: Source, on_event: OnEvent | None = None) -> tuple[Inventory, Gathered]:
    """The inventory and what its managed hosts are, by one run of Ansible; a mistake in it ends the run at once."""
    with ansible.playing("facts.yml", source, variables={"reaper_managed_only": True}, listing=True) as reading:
        listing = reading.listing() or ansible.listing(source)
        plain = not core_inventory.needs_templating(listing)
        inventory = ansible.inventory(source, listing) if plain else None
        run = reading.finish(on_event)
    if inventory is None:
        known = {event["host"]: event["result"]["variables"] for event in _read(run)}
        inventory = ansible.inventory(source, listing, known)
    return inventory, _gathered(inventory, run)


def gather(
    source: Source, inventory: Inventory, hosts: Sequence[str] | None = None, on_event: OnEvent | None = None
) -> Gathered:
    """One pass over `hosts` (all when None). A host that cannot be reached is a problem, not an exception."""
    if hosts is not None and not hosts:
        return Gathered()
    run = ansible.playbook("facts.yml", source, on_event=on_event, limit=",".join(hosts) if hosts is not None else None)
    return _gathered(inventory, run)


def _read(run: Run) -> list[Event]:
    return [event for event in run.results if "answers" in event.get("result", {})]


def _gathered(inventory: Inventory, run: Run) -> Gathered:
    found = {
        host: core_facts.parse(host, inventory.by_name[host].settings, event["result"]["answers"])
        for event in _read(run)
        if (host := event["host"])
    }
    unreachable = {host: f"cannot be reached: {text}" for host, text in run.unreachable.items()}
    return Gathered(found, {**unreachable, **run.failed})
