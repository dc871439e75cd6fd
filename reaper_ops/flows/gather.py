"""Reads what hosts are, all at once, through Ansible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core import facts as core_facts
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory import Inventory


@dataclass(frozen=True)
class Gathered:
    """facts of the hosts that answered; problems of those that did not, in a sentence each."""

    facts: Mapping[str, Facts] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def gather(
    source: Source, inventory: Inventory, hosts: Sequence[str] | None = None, on_event: OnEvent | None = None
) -> Gathered:
    """One pass over `hosts` (all when None). A host that cannot be reached is a problem, not an exception."""
    if hosts is not None and not hosts:
        return Gathered()
    run = ansible.playbook("facts.yml", source, on_event=on_event, limit=",".join(hosts) if hosts is not None else None)
    found = {
        event["host"]: core_facts.parse(
            event["host"], inventory.by_name[event["host"]].settings, event["result"]["answers"]
        )
        for event in run.results
        if "answers" in event.get("result", {})
    }
    unreachable = {host: f"cannot be reached: {text}" for host, text in run.unreachable.items()}
    return Gathered(found, {**unreachable, **run.failed})
