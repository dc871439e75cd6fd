"""Reads what hosts are, all at once, through Ansible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import Event, OnEvent, Run, Source
from reaper_ops.core import facts as core_facts
from reaper_ops.core import isolation
from reaper_ops.core.facts.answers import mapping
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory import hosts as core_inventory
from reaper_ops.core.inventory.hosts import Inventory


@dataclass(frozen=True)
class Gathered:
    """facts of the hosts that answered; problems of those that did not, in a sentence each.

    answers: what facts were parsed from, for a bundle; only where evidence was asked for. lost: could not be reached.
    steps: what helps on hosts that could not be entered; their problem ends with the same words.
    """

    facts: Mapping[str, Facts] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    steps: Mapping[str, str] = field(default_factory=dict)

    def problem(self, host: str) -> str:
        """Without the step, for those who show it in a place of its own."""
        text, step = self.problems.get(host, ""), self.steps.get(host)
        return text.removesuffix(f"; {step}") if step else text

    def joined(self, later: Gathered) -> Gathered:
        steps = {host: step for host, step in self.steps.items() if host not in later.facts}
        return Gathered(
            {**self.facts, **later.facts},
            {**self.problems, **later.problems},
            lost=self.lost | later.lost,
            steps={**steps, **later.steps},
        )


def survey(source: Source, on_event: OnEvent | None = None, *, evidence: bool = False) -> tuple[Inventory, Gathered]:
    """The inventory and what its managed hosts are, by one run of Ansible; a mistake in it ends the run at once."""
    name = _playbook(evidence)
    with ansible.playing(name, source, variables={"reaper_managed_only": True}, listing=True) as reading:
        listing = reading.listing() or ansible.listing(source)
        plain = not core_inventory.needs_templating(listing)
        inventory = ansible.inventory(source, listing) if plain else None
        run = reading.finish(on_event)
    if inventory is None:
        known = {event["host"]: event["result"]["variables"] for event in _read(run)}
        inventory = ansible.inventory(source, listing, known)
    return inventory, _gathered(inventory, run, evidence)


def gather(
    source: Source,
    inventory: Inventory,
    hosts: Sequence[str] | None = None,
    on_event: OnEvent | None = None,
    *,
    evidence: bool = False,
) -> Gathered:
    """One pass over `hosts` (all when None). A host that cannot be reached is a problem, not an exception.

    evidence: also what only a diagnosis needs.
    """
    if hosts is not None and not hosts:
        return Gathered()
    limit = ",".join(hosts) if hosts is not None else None
    run = ansible.playbook(_playbook(evidence), source, on_event=on_event, limit=limit)
    return _gathered(inventory, run, evidence)


def _playbook(evidence: bool) -> str:
    return "evidence.yml" if evidence else "facts.yml"


def _read(run: Run) -> list[Event]:
    return [event for event in run.results if "answers" in event.get("result", {})]


def _gathered(inventory: Inventory, run: Run, evidence: bool = False) -> Gathered:
    said = {event["host"]: mapping(event["result"]["answers"]) for event in _read(run)}
    broken: dict[str, str] = {}
    found = isolation.each(
        said, lambda host: core_facts.parse(host, inventory.by_name[host].settings, said[host]), str, broken
    )
    unreachable = {host: f"cannot be reached: {text}" for host, text in run.unreachable.items()}
    problems = {**unreachable, **run.failed, **broken}
    return Gathered(found, problems, said if evidence else {}, frozenset(run.unreachable), run.steps)
