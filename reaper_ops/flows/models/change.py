"""`models rm`, `prune` and `preload`: one request per host, done on the hosts through Ansible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.adapters import ansible, pull_lock, pulled
from reaper_ops.adapters.ansible import OnEvent, Run, Source
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models import names, outcome
from reaper_ops.core.models.order import AT_ONCE
from reaper_ops.core.models.outcome import ModelsOutcome
from reaper_ops.flows.models import look as models_look
from reaper_ops.flows.models.look import HeldModels

Requests = Mapping[str, Mapping[str, Any]]
Confirm = Callable[[Mapping[str, tuple[str, ...]]], bool]


@dataclass(frozen=True)
class Changes:
    """What Ansible passes to hosts: the request of each host; beside: further hosts that the playbook needs."""

    verb: str
    requests: Requests
    variables: Mapping[str, Any] = field(default_factory=dict)
    playbook: str = "models.yml"
    beside: tuple[str, ...] = ()


def change(source: Source, changes: Changes, on_event: OnEvent | None = None) -> ModelsOutcome:
    """Sends each host its request; what happens on one host does not touch the others."""
    if not changes.requests:
        return ModelsOutcome(changes.verb)
    given = {"reaper_owner": pull_lock.owner(), "reaper_at_once": AT_ONCE, **changes.variables}
    given["reaper_models"] = changes.requests
    limit = ",".join(dict.fromkeys((*changes.requests, *changes.beside)))
    run = ansible.playbook(changes.playbook, source, on_event=on_event, limit=limit, variables=given)
    return outcome.in_order(collected(changes.verb, run), changes.requests)


def collected(verb: str, run: Run) -> ModelsOutcome:
    """A host whose rows say what failed needs no sentence of its own."""
    told = [event for event in run.results if event.get("result", {}).get("models")]
    done = tuple(one for event in told for one in outcome.rows(event["host"], event["result"]["models"]))
    spoken = {one.host for one in done if one.error}
    problems = {host: text for host, text in run.failed.items() if host not in spoken}
    unreachable = {host: f"cannot be reached: {text}" for host, text in run.unreachable.items()}
    return ModelsOutcome(verb, done, {**problems, **unreachable})


def remove(
    source: Source, asked: tuple[str, ...], *, confirm: Confirm, on_event: OnEvent | None = None
) -> ModelsOutcome:
    """Takes these models from every host that holds them."""
    found = models_look.look(source, on_event)
    keys = {names.key(name) for name in asked}
    held = {one.host: tuple(m.name for key, m in one.by_key.items() if key in keys) for one in found.holdings}
    return _removed(source, "rm", held, found, confirm, on_event)


def prune(source: Source, *, confirm: Confirm, on_event: OnEvent | None = None) -> ModelsOutcome:
    """Takes away what we pulled, is still as we left it, and its host no longer wants."""
    found = models_look.look(source, on_event)
    held = {one.host: tuple(model.name for model in one.ours()) for one in found.holdings}
    return _removed(source, "prune", held, found, confirm, on_event)


def _removed(
    source: Source,
    verb: str,
    held: Mapping[str, tuple[str, ...]],
    found: HeldModels,
    confirm: Confirm,
    on_event: OnEvent | None,
) -> ModelsOutcome:
    """`confirm` is shown what would be removed; without its consent nothing is."""
    todo = {host: models for host, models in held.items() if models}
    problems = {**found.problems, **{one.host: one.problem for one in found.holdings if one.problem}}
    if not todo:
        return ModelsOutcome(verb, problems=problems, notes=("nothing to remove",))
    if not confirm(todo):
        return ModelsOutcome(verb, problems=problems, notes=("nothing was changed",))
    requests = {host: {"remove": list(models)} for host, models in todo.items()}
    done = change(source, Changes(verb, requests), on_event)
    pulled.forget(pulled.place(source), ((one.host, one.name) for one in done.done if not one.error))
    return ModelsOutcome(verb, done.done, {**problems, **(done.problems or {})})


def preload(
    source: Source, asked: tuple[str, ...], *, keep_alive: str = "-1", on_event: OnEvent | None = None
) -> ModelsOutcome:
    """Loads these models on every host that wants them, and keeps them in memory."""
    hosts = wanted.managed(ansible.inventory(source))
    chosen = wanted.by_host(hosts, asked)
    requests = {host: {"preload": list(models), "keep_alive": keep_alive} for host, models in chosen.items()}
    return change(source, Changes("preload", requests), on_event)
