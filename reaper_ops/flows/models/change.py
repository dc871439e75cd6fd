"""`models pull`, `rm`, `prune` and `preload`: one request per host, done on the hosts, several at a time."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reaper_ops.adapters import ansible, lockfile, pulled
from reaper_ops.adapters.ansible import Event, OnEvent, Run, Source
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models import names, outcome, request, traffic
from reaper_ops.core.models import transport as ways
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.outcome import Interrupted, ModelsOutcome
from reaper_ops.core.models.request import Order
from reaper_ops.core.models.transport import Way
from reaper_ops.errors import ReaperError
from reaper_ops.flows.mirror import site as site_mirror
from reaper_ops.flows.models import api as models_api
from reaper_ops.flows.models import look as models_look
from reaper_ops.flows.models import swarm as models_swarm
from reaper_ops.flows.models.look import Census

AT_ONCE = 16
UNPINNED = "models are as their tags are now; `reaper-ops models lock` pins them"
ONE_COPY = "a site mirror (`ollama_mirror`) or --strategy swarm brings each byte over the internet once"
Requests = Mapping[str, Mapping[str, Any]]
Confirm = Callable[[Mapping[str, tuple[str, ...]]], bool]


def owner() -> str:
    """Who holds the lock on a host, as its file says."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def pull(
    source: Source,
    path: Path,
    *,
    strategy: str | None = None,
    only: tuple[str, ...] = (),
    via: Way | None = None,
    seed_address: str | None = None,
    options: Mapping[str, int] | None = None,
    on_event: OnEvent | None = None,
) -> ModelsOutcome:
    """Brings the wanted models to every managed host, as the lock has them; without a lock as their tags are now.

    via: the hosts' API, or Ansible on the hosts; None takes the API of each host where it can be reached from here.
    A swarm is always by Ansible.
    """
    known = ansible.inventory(source)
    site = site_mirror.choose(source, known, strategy)
    hosts = wanted.managed(site.inventory(known))
    chosen = {host.name: chosen_of(host.settings.models(), only) for host in hosts}
    requests = {host: {"pull": list(models)} for host, models in chosen.items() if models}
    if only and not requests:
        raise ReaperError(", ".join(only), "no host wants this", "`reaper-ops models sets` shows what is wanted")
    every = {name for models in chosen.values() for name in models}
    lock = _whole(path, every)
    _strategy_fits(strategy, hosts, via)
    pinned, direct = request.locked(lock or Lock(), every), strategy == "direct"
    order = Order(chosen, pinned, direct, options or {}, owner())
    asked = tuple(host for host in hosts if host.name in requests)
    variables = {"reaper_locked": pinned, "reaper_direct": direct, **site.variables(), **(options or {})}
    if strategy == "swarm":
        variables["reaper_seed"], via = models_swarm.seed_for(source, asked, seed_address), "host"
    mirrored = {host.name: _mirrored(host, chosen[host.name], strategy) for host in asked}
    on_event = marked(on_event, mirrored) if on_event else None
    announce(on_event, chosen, lock or Lock())
    choices = models_api.chosen(asked, via)
    by_api = [host for host in asked if choices[host.name].way == "api"]
    rest = {host: wish for host, wish in requests.items() if choices[host].way == "host"}
    found = _by_both_ways(source, order, by_api, rest, variables, on_event)
    before = [*([] if lock else [f"there is no {path}: {UNPINNED}"]), *([site.note] if site.note else [])]
    notes = (*before, *_each_by_itself(found, mirrored, strategy), *(ways.told(choices) if via is None else ()))
    moved = traffic.of(((one.host, one.name, one.bytes) for one in found.done), mirrored)
    return in_order(replace(found, notes=notes, traffic=moved), requests)


def _whole(path: Path, every: set[str]) -> Lock | None:
    """The lock, where there is one."""
    lock = lockfile.read(path)
    if lock is not None:
        all_locked(lock, every, path)
    return lock


def _by_both_ways(
    source: Source,
    order: Order,
    by_api: Sequence[Host],
    rest: Requests,
    variables: Mapping[str, Any],
    on_event: OnEvent | None,
) -> ModelsOutcome:
    record, at_once = pulled.place(source), order.options.get("reaper_at_once", AT_ONCE)
    stopped = dict.fromkeys(rest, outcome.STOPPED)
    try:
        done, problems = models_api.pull(by_api, order, record=record, at_once=at_once, on_event=on_event)
    except Interrupted as early:
        known = early.outcome
        raise Interrupted(replace(known, problems={**(known.problems or {}), **stopped})) from None
    try:
        found = change(source, "pull", rest, variables, on_event)
    except KeyboardInterrupt:
        raise Interrupted(ModelsOutcome("pull", done, {**problems, **stopped})) from None
    return ModelsOutcome("pull", done + found.done, {**problems, **(found.problems or {})})


def _each_by_itself(
    found: ModelsOutcome, mirrored: Mapping[str, Collection[str]], strategy: str | None
) -> tuple[str, ...]:
    """Nobody asked for one copy over the internet for each host."""
    many = {one.host for one in found.done if one.changed and one.name not in mirrored[one.host]}
    return (
        (f"{len(many)} hosts pulled from the registries, each by itself: {ONE_COPY}",)
        if strategy is None and len(many) > 1
        else ()
    )


def _mirrored(host: Host, models: Collection[str], strategy: str | None) -> Collection[str]:
    """Models that come from the site's own network."""
    if strategy == "swarm":
        return models
    return () if strategy == "direct" else request.sources(host.settings)


def marked(on_event: OnEvent, mirrored: Mapping[str, Collection[str]]) -> OnEvent:
    """Progress says which network it is over."""

    def told(event: Event) -> None:
        if event["event"] == "progress" and event.get("model"):
            event = {**event, "network": traffic.network(event["host"], event["model"], mirrored)}
        on_event(event)

    return told


def announce(on_event: OnEvent | None, chosen: Mapping[str, Collection[str]], lock: Lock) -> None:
    """Tells what is wanted, with its size where that is known, before the first host begins."""
    if on_event:
        sizes = {
            one: sum(found.blobs.values()) for models in chosen.values() for one in models if (found := lock.get(one))
        }
        hosts = {host: {one: sizes.get(one, 0) for one in models} for host, models in chosen.items()}
        on_event({"event": "wanted", "hosts": hosts})


def in_order(found: ModelsOutcome, hosts: Iterable[str]) -> ModelsOutcome:
    """Rows in the order of the hosts."""
    order = {host: place for place, host in enumerate(hosts)}
    return replace(found, done=tuple(sorted(found.done, key=lambda one: order[one.host])))


def chosen_of(models: tuple[str, ...], only: tuple[str, ...]) -> tuple[str, ...]:
    """Of these models those that were named; all where none was."""
    keys = {names.key(name) for name in only}
    return tuple(name for name in models if not keys or names.key(name) in keys)


def all_locked(lock: Lock, every: set[str], path: Path) -> None:
    """ReaperError where the lock misses a wanted model."""
    missing = sorted(names.short(name) for name in every if lock.get(name) is None)
    if missing:
        raise ReaperError(str(path), f"does not hold {', '.join(missing)}", "run `reaper-ops models lock`")


def _strategy_fits(strategy: str | None, hosts: tuple[Host, ...], via: Way | None) -> None:
    if strategy == "swarm" and via == "api":
        raise ReaperError(
            "--via api", "a swarm writes into the hosts' stores", "leave it out, or take another --strategy"
        )
    without = [host.name for host in hosts if host.settings.models() and host.settings.ollama_mirror is None]
    if strategy == "mirror" and without:
        raise ReaperError(f"{without[0]}/ollama_mirror", "is not set", "name the site mirror, or use --strategy direct")


def change(
    source: Source, verb: str, requests: Requests, variables: Mapping[str, Any], on_event: OnEvent | None = None
) -> ModelsOutcome:
    """Sends each host its request; what happens on one host does not touch the others."""
    if not requests:
        return ModelsOutcome(verb)
    given = {"reaper_owner": owner(), "reaper_at_once": AT_ONCE, **variables, "reaper_models": requests}
    seed = variables.get("reaper_seed")
    limit = ",".join(dict.fromkeys((*requests, *([seed["host"]] if seed else []))))
    playbook = models_swarm.PLAYBOOK if seed else "models.yml"
    run = ansible.playbook(playbook, source, on_event=on_event, limit=limit, variables=given)
    return in_order(collected(verb, run), requests)


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
    found: Census,
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
    done = change(source, verb, requests, {}, on_event)
    pulled.forget(pulled.place(source), ((one.host, one.name) for one in done.done if not one.error))
    return ModelsOutcome(verb, done.done, {**problems, **(done.problems or {})})


def preload(
    source: Source, asked: tuple[str, ...], *, keep_alive: str = "-1", on_event: OnEvent | None = None
) -> ModelsOutcome:
    """Loads these models on every host that wants them, and keeps them in memory."""
    hosts = wanted.managed(ansible.inventory(source))
    chosen = {host.name: chosen_of(host.settings.models(), asked) for host in hosts}
    requests = {host: {"preload": list(models), "keep_alive": keep_alive} for host, models in chosen.items() if models}
    if not requests:
        raise ReaperError(", ".join(asked), "no host wants this", "`reaper-ops models sets` shows what is wanted")
    return change(source, "preload", requests, {}, on_event)
