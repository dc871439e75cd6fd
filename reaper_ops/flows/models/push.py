"""`models pull --strategy push`: for hosts that reach no registry, everything goes out from this machine.

A host that reaches this machine's address gets blobs by its API and the manifest by a pull; any other gets both over
the way by which Ansible reaches it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reaper_ops.adapters import ansible, lockfile, manifests, pack, pack_writer, pull_lock, pulled
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.adapters.pack import Bundle
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models import push as pushing
from reaper_ops.core.models import request, traffic
from reaper_ops.core.models import transport as ways
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.order import Order, PullOptions
from reaper_ops.core.models.outcome import ModelsOutcome, in_order
from reaper_ops.core.models.push import PushRequest, ThisMachine
from reaper_ops.core.models.transport import TransportChoice, Way
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models import api as models_api
from reaper_ops.flows.models import bundle as models_bundle
from reaper_ops.flows.models.api import HostPull, Lookups
from reaper_ops.flows.models.progress_events import announce, marked

NOT_REACHED = "does not reach this machine, so its manifest must go another way; leave out --via api, or --push-address"
UNREACHED = TransportChoice("host", "it does not reach this machine")


def push(source: Source, path: Path, options: PullOptions, on_event: OnEvent | None) -> ModelsOutcome:
    """Fetches each blob once to this machine, then brings the wanted models to every managed host."""
    hosts = wanted.managed(ansible.inventory(source))
    chosen = wanted.by_host(hosts, options.only)
    asked = tuple(host for host in hosts if host.name in chosen)
    if not asked:
        raise ReaperError("inventory", "no host wants this", wanted.SETS)
    every = {name for models in chosen.values() for name in models}
    lock = lockfile.needed(path)
    lock.check(every, str(path))
    order = Order(chosen, request.locked(lock, every), options.strategy, options.patience, pull_lock.owner())
    place = _place(lock.only(every))
    with pack_writer.alone(place):
        names = tuple(sorted(every))
        models_bundle.create(place, lock_path=path, source=source, only=names, on_event=_here(on_event))
        tell = marked(on_event, chosen) if on_event else None
        announce(tell, chosen, lock)
        choices = models_api.chosen(asked, options.via)
        by_api, bundle = _of_way(asked, choices, "api"), pack.read(place)
        found, unreached = _by_api(source, order, by_api, bundle, options.here, tell)
        if options.via is None:
            choices |= dict.fromkeys(unreached, UNREACHED)
        rest = [host.name for host in _of_way(asked, choices, "host")]
        found = _together(found, _by_host(source, rest, place, path, tell))
        if not found.problems and not found.failed:
            shutil.rmtree(place)
    moved = traffic.of(((one.host, one.name, one.bytes) for one in found.done), chosen)
    notes = ways.summary(choices) if options.via is None else ()
    return in_order(replace(found, notes=notes, traffic=moved), chosen)


def _here(on_event: OnEvent | None) -> OnEvent | None:
    """What this machine fetches is one copy of what hosts get, which is counted there."""
    return (lambda event: on_event({**event, "network": "seed"})) if on_event else None


def _place(lock: Lock) -> Path:
    """Kept until every host has its models, so that what was fetched is not fetched again."""
    key = hashlib.sha256("".join(sorted(one.digest for one in lock.models)).encode()).hexdigest()[:12]
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reaper_ops" / "push" / f"this-machine-{key}"
    )


def _of_way(hosts: Sequence[Host], choices: Mapping[str, TransportChoice], way: Way) -> list[Host]:
    return [host for host in hosts if choices[host.name].way == way]


def _by_api(
    source: Source, order: Order, hosts: Sequence[Host], bundle: Bundle, here: ThisMachine, tell: OnEvent | None
) -> tuple[ModelsOutcome, list[str]]:
    """What became of hosts, and those that do not reach this machine."""
    addresses = {host.name: here.address or manifests.own_address(request.url_of(host)) for host in hosts}
    plain = {address for address in addresses.values() if address and ":" not in address}
    aliases = {pushing.alias(name): data for name, data in bundle.contents.manifests.items()}
    files = {digest: bundle.blob(digest).path for one in bundle.contents.lock.models for digest in one.blobs}
    with manifests.serving(plain, aliases, here.port) as doors:
        lookups, on_event = Lookups(), models_api.watched(tell)
        talking = [
            HostPull(host, order, lookups, on_event, PushRequest(doors[addresses[host.name]], files, here.rate))
            for host in hosts
            if addresses[host.name] in doors
        ]
        done, problems = models_api.run(talking, record=pulled.place(source), at_once=order.at_once)
    reached = {one.host for one in talking if one.reached}
    unreached = [host.name for host in hosts if host.name not in reached]
    silent = {host: NOT_REACHED for host in unreached if host not in problems}
    return ModelsOutcome("pull", done, {**problems, **silent}), unreached


def _by_host(source: Source, hosts: Sequence[str], place: Path, path: Path, tell: OnEvent | None) -> ModelsOutcome:
    if not hosts:
        return ModelsOutcome("pull")
    return models_bundle.load(place, replace(source, limit=",".join(hosts)), path, on_event=tell)


def _together(by_api: ModelsOutcome, by_host: ModelsOutcome) -> ModelsOutcome:
    """A host that was tried by both ways is told by the second."""
    told = {one.host for one in by_host.done} | set(by_host.problems or {})
    problems = {host: text for host, text in (by_api.problems or {}).items() if host not in told}
    return ModelsOutcome("pull", by_api.done + by_host.done, {**problems, **(by_host.problems or {})})
