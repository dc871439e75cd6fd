"""`models pull`: what each host lacks, by the API of hosts, through Ansible, by a swarm, or from this machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reaper_ops.adapters import ansible, lockfile, pull_lock, pulled
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models import outcome, request, traffic
from reaper_ops.core.models import transport as ways
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.order import Order, PullOptions
from reaper_ops.core.models.outcome import Interrupted, ModelsOutcome
from reaper_ops.core.models.strategy import DIRECT, Strategy
from reaper_ops.flows.mirror import site as site_mirror
from reaper_ops.flows.models import api, push, swarm
from reaper_ops.flows.models.change import Changes, change
from reaper_ops.flows.models.progress_events import announce, marked

UNPINNED = "models are as their tags are now; `reaper-ops models lock` pins them"


def pull(
    source: Source, path: Path, options: PullOptions | None = None, *, on_event: OnEvent | None = None
) -> ModelsOutcome:
    """Brings the wanted models to every managed host, as the lock has them; without a lock as their tags are now."""
    options = options or PullOptions()
    deliver = push.push if options.strategy.pushed else _pull
    return deliver(source, path, options, on_event)


def _pull(source: Source, path: Path, options: PullOptions, on_event: OnEvent | None) -> ModelsOutcome:
    known, strategy = ansible.inventory(source), options.strategy
    site = site_mirror.choose(source, known, strategy)
    hosts = wanted.managed(site.inventory(known))
    chosen = wanted.by_host(hosts, options.only)
    lock = _lock(path, chosen)
    strategy.check(hosts, options.via)
    asked = tuple(host for host in hosts if host.name in chosen)
    order = Order(chosen, request.locked(lock or Lock(), _names(chosen)), strategy, options.patience, pull_lock.owner())
    local = {host.name: strategy.local(host.settings) for host in asked}
    on_event = marked(on_event, local) if on_event else None
    announce(on_event, chosen, lock or Lock())
    via = strategy.transport(options.via)
    choices = api.chosen(asked, via)
    by_api = [host for host in asked if choices[host.name].way == "api"]
    rest = {host: {"pull": list(models)} for host, models in chosen.items() if choices[host].way == "host"}
    variables = {"reaper_locked": order.locked, "reaper_direct": strategy is DIRECT, **site.variables()}
    changes = Changes("pull", rest, {**variables, **options.patience})
    changes = swarm.seeded(changes, source, asked, options.seed_address) if strategy.seeded else changes
    found = _by_both_ways(source, order, by_api, changes, on_event)
    before = [*([] if lock else [f"there is no {path}: {UNPINNED}"]), *([site.note] if site.note else [])]
    notes = (*before, *_remark(found, local, strategy), *(ways.summary(choices) if via is None else ()))
    moved = traffic.of(((one.host, one.name, one.bytes) for one in found.done), local)
    return outcome.in_order(replace(found, notes=notes, traffic=moved), chosen)


def _names(chosen: Mapping[str, Collection[str]]) -> set[str]:
    return {name for models in chosen.values() for name in models}


def _lock(path: Path, chosen: Mapping[str, Collection[str]]) -> Lock | None:
    """The lock, where there is one."""
    lock = lockfile.read(path)
    if lock is not None:
        lock.check(_names(chosen), str(path))
    return lock


def _by_both_ways(
    source: Source, order: Order, by_api: Sequence[Host], changes: Changes, on_event: OnEvent | None
) -> ModelsOutcome:
    stopped = dict.fromkeys(changes.requests, outcome.STOPPED)
    try:
        done, problems = api.pull(by_api, order, record=pulled.place(source), on_event=on_event)
    except Interrupted as early:
        known = early.outcome
        raise Interrupted(replace(known, problems={**(known.problems or {}), **stopped})) from None
    try:
        found = change(source, changes, on_event)
    except KeyboardInterrupt:
        raise Interrupted(ModelsOutcome("pull", done, {**problems, **stopped})) from None
    return ModelsOutcome("pull", done + found.done, {**problems, **(found.problems or {})})


def _remark(found: ModelsOutcome, local: Mapping[str, Collection[str]], strategy: Strategy) -> tuple[str, ...]:
    many = {one.host for one in found.done if one.changed and one.name not in local[one.host]}
    return strategy.remark(len(many))
