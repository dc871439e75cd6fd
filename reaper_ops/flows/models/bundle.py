"""`models bundle create` and `load`: models as one file or directory, for sites without internet."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from reaper_ops.adapters import ansible, fan_out, lockfile, pack, pack_writer
from reaper_ops.adapters.ansible import OnEvent, Source
from reaper_ops.adapters.pack import Bundle
from reaper_ops.adapters.pack_sources import BlobOrigin, Fetch, LocalStore
from reaper_ops.adapters.registry import Registry
from reaper_ops.adapters.registry_push import RegistryPush
from reaper_ops.core import values
from reaper_ops.core.models import desired as wanted
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Lock, Locked, from_manifest
from reaper_ops.core.models.names import ModelName
from reaper_ops.core.models.outcome import Done, ModelsOutcome
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models.change import collected
from reaper_ops.flows.models.progress_events import ByteProgress
from reaper_ops.flows.models.verify import play

AT_ONCE = 4
Origins = Callable[[ModelName], BlobOrigin]


@dataclass(frozen=True)
class Made:
    """What a bundle holds; bytes: of its blobs, each once."""

    place: str
    lock: Lock
    bytes: int


def create(
    place: Path,
    *,
    lock_path: Path,
    source: Source | None = None,
    only: tuple[str, ...] = (),
    origin: str | None = None,
    on_event: OnEvent | None = None,
) -> Made:
    """Fetches models, as the lock has them, into a directory or a tar. What was stopped goes on."""
    insecure = wanted.insecure(ansible.inventory(source).hosts) if source else frozenset()
    with ExitStack() as stack:
        origins = _origins(origin, insecure, stack)
        lock = _selected(lockfile.read(lock_path) or Lock(), only, origins, lock_path)
        manifests = {one.name: _manifest(origins, one) for one in lock.models}
        writer = pack_writer.writer(place, lock, manifests, now())
        meter = ByteProgress(place.name, "pulling", lock, on_event)
        _fetch_all(Fetch(writer, meter), origins, lock)
        with pack_writer.on_disk(place):
            writer.finish()
    return made(place, lock)


def made(place: Path, lock: Lock) -> Made:
    return Made(
        str(place), lock, sum({digest: size for one in lock.models for digest, size in one.blobs.items()}.values())
    )


def _origins(origin: str | None, insecure: frozenset[str], stack: ExitStack) -> Origins:
    """One place for all models, or the registry of each."""
    if origin and "://" not in origin:
        store = LocalStore(Path(origin))
        return lambda _: store
    if origin:
        one = stack.enter_context(Registry(origin.rstrip("/")))
        return lambda _: one
    known: dict[str, Registry] = {}

    def registry(name: ModelName) -> Registry:
        host = name.host.lower()
        if host not in known:
            scheme = "http" if host in insecure else "https"
            known[host] = stack.enter_context(Registry(f"{scheme}://{name.host}"))
        return known[host]

    return registry


def _selected(lock: Lock, only: tuple[str, ...], origins: Origins, path: Path) -> Lock:
    """The models of the lock, or those in `only`; one that is not locked is as its tag is now."""
    if not only:
        if not lock.models:
            raise ReaperError(str(path), "there is no lock, and no MODEL was named", "run `reaper-ops models lock`")
        return lock
    asked = [_named(name) for name in only]
    found = [_entry(name, origins) for name in asked if lock.get(name) is None]
    every = lock.with_models(found)
    chosen = {names.key(name): every.get(name) for name in asked}
    return Lock(tuple(one for one in chosen.values() if one))


def _entry(name: str, origins: Origins) -> Locked:
    whole = names.split(name)
    found = origins(whole).manifest(whole)
    return from_manifest(whole.full, found.data, found.digest, found.url, now())


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(name: str) -> str:
    try:
        return values.model_name(name)
    except ValueError as error:
        raise ReaperError(name, str(error)) from None


def _manifest(origins: Origins, one: Locked) -> bytes:
    name = names.split(one.name)
    found = origins(name).manifest(name)
    if found.digest != one.digest:
        problem = f"differs from the lock: the lock has {one.digest[7:19]}, the registry {found.digest[7:19]}"
        raise ReaperError(found.url, problem, "the tag has moved: `reaper-ops models update` updates the lock")
    return found.data


def _fetch_all(fetch: Fetch, origins: Origins, lock: Lock) -> None:
    """Each blob once, several at a time; the first error ends the rest, and what is there is kept."""
    blobs = {digest: (one.name, size) for one in lock.models for digest, size in one.blobs.items()}

    def one(blob: tuple[str, tuple[str, int]]) -> None:
        digest, (whole, size) = blob
        name = names.split(whole)
        fetch(origins(name), name, digest, size)

    smallest_first = sorted(blobs.items(), key=lambda item: item[1][1])
    fan_out.each(smallest_first, one, at_once=AT_ONCE, halt=fetch.halt)


def opened(place: Path, only: tuple[str, ...], on_event: OnEvent | None) -> tuple[Bundle, Lock]:
    """A bundle of which every byte was checked, and the models of it that were asked for."""
    bundle = pack.read(place)
    lock = bundle.contents.lock
    missing = [name for name in only if lock.get(_named(name)) is None]
    if missing:
        held = ", ".join(names.short(one.name) for one in lock.models)
        raise ReaperError(str(place), f"does not hold {', '.join(missing)}", f"it holds {held}")
    pack.verify(bundle, ByteProgress(place.name, "verifying", lock, on_event))
    return bundle, lock.only(only) if only else lock


def load(
    place: Path,
    source: Source,
    lock_path: Path,
    only: tuple[str, ...] = (),
    *,
    every: bool = False,
    on_event: OnEvent | None = None,
) -> ModelsOutcome:
    """Brings a bundle's models to the hosts that want them, or all of them to every host."""
    hosts = wanted.managed(ansible.inventory(source))
    bundle, lock = opened(place, only, on_event)
    _as_locked(place, lock, lockfile.read(lock_path))
    requests: dict[str, dict[str, Any]] = {}
    for host in hosts:
        selected = lock if every or only else lock.only(host.settings.models())
        if selected.models:
            requests[host.name] = {"do": "load", "models": [_request(bundle, one) for one in selected.models]}
    if not requests:
        raise ReaperError(str(place), "no host wants a model of this bundle", "name a MODEL, or give --all")
    digests = {digest for row in requests.values() for model in row["models"] for digest in model["blobs"]}
    run = play(source, requests, on_event, reaper_pieces=_pieces(bundle, digests))
    return collected("load", run)


def _as_locked(place: Path, lock: Lock, selected: Lock | None) -> None:
    for one in lock.models:
        locked = selected.get(one.name) if selected else None
        if locked and locked.digest != one.digest:
            problem = f"has {names.short(one.name)} as {one.digest[7:19]}, but the lock says {locked.digest[7:19]}"
            raise ReaperError(str(place), problem, "make the bundle from this lock, or `reaper-ops models update`")


def _request(bundle: Bundle, one: Locked) -> dict[str, Any]:
    data = base64.b64encode(bundle.contents.manifests[one.name]).decode()
    return {"name": one.name, "digest": one.digest, "blobs": one.blobs, "manifest": data}


def _pieces(bundle: Bundle, digests: Iterable[str]) -> Mapping[str, list[Any]]:
    found = {digest: bundle.blob(digest) for digest in digests}
    return {digest: [str(Path(one.path).resolve()), one.offset, one.size] for digest, one in found.items()}


def to_mirror(place: Path, url: str, only: tuple[str, ...] = (), *, on_event: OnEvent | None = None) -> ModelsOutcome:
    """Puts a bundle's models into a mirror (or another registry), byte for byte."""
    bundle, lock = opened(place, only, on_event)
    push = RegistryPush(url, ByteProgress(url, "pushing", lock, on_event))
    done = []
    try:
        for one in lock.models:
            name = names.split(one.name)
            for digest, size in one.blobs.items():
                push.blob(name, digest, size, partial(pack.parts, bundle.blob(digest)))
            changed = push.manifest(name, bundle.contents.manifests[one.name])
            done.append(Done(url, one.name, changed, one.digest.removeprefix("sha256:"), one.size if changed else 0))
    finally:
        push.close()
    return ModelsOutcome("load", tuple(done))
