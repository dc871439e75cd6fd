"""`down`: remove what the manifests on the hosts list, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import OnEvent, Run, Source
from reaper_ops.errors import ExitCode
from reaper_ops.flows.inventory.gather import survey

Manifests = Mapping[str, Mapping[str, object]]
Results = Mapping[str, Mapping[str, Any]]
"""By host: `removed` and `kept`, a line for each."""


@dataclass(frozen=True)
class Removed:
    """Per host what the module removed and kept; problems of hosts that could not be cleaned.

    withheld: hosts that were left alone, because they had more to remove than was shown.
    """

    owned: Manifests
    results: Results = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    applied: bool = False
    withheld: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.worst(errors=self.problems, warnings=self.withheld)


def down(
    source: Source, *, confirm: Callable[[Results], bool], purge_models: bool = False, on_event: OnEvent | None = None
) -> Removed:
    """`confirm` is shown what would go from each host and what would stay. Hosts without a manifest are left alone.

    A manifest also names what was only intended; the hosts themselves say what of it is there, in check mode.
    """
    _, gathered = survey(source, on_event)
    owned = {name: facts.manifest for name, facts in gathered.facts.items() if facts.manifest}
    if not owned:
        return Removed(owned, problems=gathered.problems)
    foreseen = _run(source, owned, purge_models, on_event, check=True)
    problems = {**gathered.problems, **foreseen.unreachable, **foreseen.failed}
    there = {name: owned[name] for name in owned if name in _results(foreseen)}
    if not there or not confirm(_results(foreseen)):
        return Removed(owned, problems=problems)
    run = _run(source, there, purge_models, on_event)
    problems |= {**run.unreachable, **run.failed}
    return Removed(owned, _results(run), problems, applied=True, withheld=run.withheld)


def _run(source: Source, owned: Manifests, purge_models: bool, on_event: OnEvent | None, *, check: bool = False) -> Run:
    return ansible.playbook(
        "down.yml",
        source,
        on_event=on_event,
        limit=",".join(owned),
        check=check,
        variables={"purge_models": purge_models, "reaper_shown": dict(owned)},
    )


def _results(run: Run) -> dict[str, Mapping[str, Any]]:
    rows = (event for event in run.results if event.get("id") == "manifest/remove" and event["event"] != "failed")
    return {event["host"]: event["result"] for event in rows}
