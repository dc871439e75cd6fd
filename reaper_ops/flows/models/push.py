"""`models pull --strategy push`: for hosts that reach no registry, everything goes out from this machine.

A host that reaches this machine's address gets blobs by its API and the manifest by a pull; any other gets both over
the way by which Ansible reaches it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reaper_ops.adapters import ansible, lockfile, manifests, pack, pack_writer, pulled
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.adapters.pack import Bundle
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models import push as pushing
from reaper_ops.core.models import request, traffic
from reaper_ops.core.models import transport as ways
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.outcome import ModelsOutcome
from reaper_ops.core.models.push import PushRequest
from reaper_ops.core.models.request import Order
from reaper_ops.core.models.transport import TransportChoice, Way
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models import api as models_api
from reaper_ops.flows.models import bundle as models_bundle
from reaper_ops.flows.models import change as models_change
from reaper_ops.flows.models.api import HostPull, Lookups

NOT_REACHED = "does not reach this machine, so its manifest must go another way; leave out --via api, or --push-address"
UNREACHED = TransportChoice("host", "it does not reach this machine")


@dataclass(frozen=True)
class From:
    """This machine as hosts see it: its address (of itself that of the way to each host), port, bytes per second."""

    address: str = ""
    port: int = 0
    rate: int = 0


def push(
    source: Source,
    path: Path,
    *,
    only: tuple[str, ...] = (),
    via: Way | None = None,
    here: From | None = None,
    options: Mapping[str, int] | None = None,
    on_event: OnEvent | None = None,
) -> ModelsOutcome:
    """Fetches each blob once to this machine, then brings the wanted models to every managed host."""
    hosts = wanted.managed(ansible.inventory(source))
    chosen = {host.name: models_change.chosen_of(host.settings.models(), only) for host in hosts}
    asked = tuple(host for host in hosts if chosen[host.name])
    if not asked:
        hint = "`reaper-ops models sets` shows what is wanted"
        raise ReaperError(", ".join(only) or "inventory", "no host wants this", hint)
    every = {name for host in asked for name in chosen[host.name]}
    lock = lockfile.needed(path)
    models_change.all_locked(lock, every, path)
    order = Order(chosen, request.locked(lock, every), True, options or {}, models_change.owner())
    place = _place(lock.only(every))
    with pack_writer.alone(place):
        names = tuple(sorted(every))
        models_bundle.create(place, lock_path=path, source=source, only=names, on_event=_here(on_event))
        tell = models_change.marked(on_event, chosen) if on_event else None
        models_change.announce(tell, chosen, lock)
        choices = models_api.chosen(asked, via)
        by_api, bundle = _of_way(asked, choices, "api"), pack.read(place)
        found, unreached = _by_api(source, order, by_api, bundle, here or From(), tell)
        if via is None:
            choices |= dict.fromkeys(unreached, UNREACHED)
        rest = [host.name for host in _of_way(asked, choices, "host")]
        found = _together(found, _by_host(source, rest, place, path, tell))
        if found.exit_code == 0:
            shutil.rmtree(place)
    moved = traffic.of(((one.host, one.name, one.bytes) for one in found.done), chosen)
    notes = ways.told(choices) if via is None else ()
    return models_change.in_order(replace(found, notes=notes, traffic=moved), [host.name for host in asked])


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
    source: Source, order: Order, hosts: Sequence[Host], bundle: Bundle, here: From, tell: OnEvent | None
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
        at_once = order.options.get("reaper_at_once", models_change.AT_ONCE)
        done, problems = models_api.run(talking, record=pulled.place(source), at_once=at_once)
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
