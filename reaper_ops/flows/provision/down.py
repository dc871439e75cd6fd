"""`down`: remove what the manifests on the hosts list, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.flows.inventory.gather import survey

Manifests = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Removed:
    """Per host what the module removed and kept; problems of hosts that could not be cleaned.

    withheld: hosts that were left alone, because they had more to remove than was shown.
    """

    owned: Manifests
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False
    withheld: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return 3 if self.problems else 4 if self.withheld else 0


def down(
    source: Source, *, confirm: Callable[[Manifests], bool], purge_models: bool = False, on_event: OnEvent | None = None
) -> Removed:
    """`confirm` is shown what each manifest lists. Hosts without a manifest are left alone."""
    _, gathered = survey(source, on_event)
    owned = {name: facts.manifest for name, facts in gathered.facts.items() if facts.manifest}
    if not owned or not confirm(owned):
        return Removed(owned, problems=gathered.problems)
    run = ansible.playbook(
        "down.yml",
        source,
        on_event=on_event,
        limit=",".join(owned),
        variables={"purge_models": purge_models, "reaper_shown": dict(owned)},
    )
    results = {event["host"]: event["result"] for event in run.results if event.get("id") == "manifest/remove"}
    problems = {**gathered.problems, **run.unreachable, **run.failed}
    return Removed(owned, results, problems, applied=True, withheld=run.withheld)
