"""`models verify`: blobs are hashed again on the hosts; what is damaged is fetched again when asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reaper_ops.adapters import ansible, lockfile
from reaper_ops.adapters.ansible import OnEvent, Run, Source
from reaper_ops.adapters.pull_lock import owner
from reaper_ops.core import isolation
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.models import contents, names, request
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models.contents import CheckedStore, Verified
from reaper_ops.core.models.lock import Lock
from reaper_ops.errors import ReaperError

PLAYBOOK = "contents.yml"
Requests = Mapping[str, Mapping[str, Any]]


def play(source: Source, requests: Requests, on_event: OnEvent | None, **more: Any) -> Run:
    """Each host gets its request; a host that fails stops no other."""
    given = {"reaper_contents": requests, "reaper_owner": owner(), **more}
    return ansible.playbook(PLAYBOOK, source, on_event=on_event, limit=",".join(requests), variables=given)


def problems(run: Run) -> dict[str, str]:
    return {**{host: f"cannot be reached: {text}" for host, text in run.unreachable.items()}, **run.failed}


def verify(
    source: Source,
    path: Path,
    only: tuple[str, ...] = (),
    *,
    repair: bool = False,
    on_event: OnEvent | None = None,
) -> Verified:
    """Reads the whole store of every managed host, or the blobs of the models in `only`."""
    hosts = wanted.managed(ansible.inventory(source))
    lock = lockfile.read(path) or Lock()
    found = _look(source, hosts, lock, {host.name: only for host in hosts}, on_event)
    if only and not any(store.models for store in found.stores) and not found.problems:
        raise ReaperError(
            ", ".join(only), "no host holds or wants this", "`reaper-ops models list` shows what is there"
        )
    sick = tuple(store for store in found.stores if store.to_repair or store.damaged)
    return _repaired(source, hosts, lock, found, sick, on_event) if repair and sick else found


def _look(
    source: Source, hosts: tuple[Host, ...], lock: Lock, only: Mapping[str, tuple[str, ...]], on_event: OnEvent | None
) -> Verified:
    requests = {host.name: {"do": "verify", "models": list(only[host.name])} for host in hosts if host.name in only}
    run = play(source, requests, on_event)
    told = {event["host"]: event["result"] for event in run.results if event["result"].get("store")}
    keys = {host: {names.key(name) for name in chosen} for host, chosen in only.items()}
    broken: dict[str, str] = {}

    def judged(host: Host) -> CheckedStore:
        asked = [n for n in host.settings.models() if not keys[host.name] or names.key(n) in keys[host.name]]
        return contents.judge(host.name, told[host.name], asked, lock)

    read = [host for host in hosts if host.name in told]
    stores = isolation.each(read, judged, lambda host: host.name, broken)
    return Verified(tuple(stores.values()), {**problems(run), **broken})


def _repaired(
    source: Source,
    hosts: tuple[Host, ...],
    lock: Lock,
    found: Verified,
    sick: tuple[CheckedStore, ...],
    on_event: OnEvent | None,
) -> Verified:
    """Damaged blobs are fetched again; then their models are hashed once more."""
    settings = {host.name: host.settings for host in hosts}
    requests = {}
    for store in sick:
        models = _as_written(settings[store.host].models(), store.to_repair)
        sources = request.sources(settings[store.host], models)
        row = {"models": models, "blobs": list(store.damaged), "store": store.path, "sources": sources}
        requests[store.host] = {"do": "repair", **row}
    every = {name for row in requests.values() for name in row["models"]}
    run = play(source, requests, on_event, reaper_locked=request.locked(lock, every))
    failed = problems(run)
    done = {store.host: store for store in sick if store.host not in failed}
    repaired = {host: store.to_repair for host, store in done.items() if store.to_repair}
    again = _look(source, hosts, lock, repaired, on_event) if repaired else Verified((), {})
    fresh = {store.host: store for store in again.stores}
    stores = tuple(
        contents.repaired(store, fresh.get(store.host)) if store.host in done else store for store in found.stores
    )
    notes = tuple(f"{host}: {_outcome(store)}" for host, store in done.items() if host not in again.problems)
    return Verified(stores, {**found.problems, **again.problems, **failed}, notes)


def _outcome(store: CheckedStore) -> str:
    models = ", ".join(names.short(name) for name in store.to_repair)
    return f"fetched again what {models} lacked" if models else f"removed {len(store.damaged)} damaged blobs"


def _as_written(desired: tuple[str, ...], models: tuple[str, ...]) -> list[str]:
    """The names of the inventory where it has them, since a server keeps the spelling that it knows."""
    written = {names.key(name): name for name in desired}
    return [written.get(names.key(name), name) for name in models]
