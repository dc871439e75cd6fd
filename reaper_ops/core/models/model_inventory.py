"""What each host holds: models by the server's own list, what is loaded, blobs, room, what we once pulled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reaper_ops.core.facts.model import Facts, Fetched
from reaper_ops.core.health import probe
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import memory_headroom as room
from reaper_ops.core.models import names

SILENT = "the server does not answer; `reaper-ops probe` says why"


@dataclass(frozen=True)
class HeldModel:
    """known_as: other digests under which a registry has the same, as after a server's migration."""

    name: str
    digest: str
    size: int
    known_as: frozenset[str] = frozenset()

    def has_digest(self, digest: str) -> bool:
        """With or without `sha256:`."""
        return digest.removeprefix("sha256:") in {self.digest, *self.known_as}

    def was_migrated_from(self, digest: str) -> bool:
        """Whether it is that model, rewritten by its server since, which therefore lists another digest."""
        return self.has_digest(digest) and digest.removeprefix("sha256:") != self.digest


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory; vram is the part of `size` that a GPU holds."""

    name: str
    size: int
    vram: int
    context: int | None = None
    expires: str = ""


@dataclass(frozen=True)
class Holding:
    """One host. models is None while its server does not answer; blobs is None where the store was not read."""

    host: str
    settings: Settings
    models: tuple[HeldModel, ...] | None = None
    loaded: tuple[LoadedModel, ...] = ()
    blobs: frozenset[str] | None = None
    free: int | None = None
    pulled: Mapping[str, Fetched] = field(default_factory=dict)
    problem: str = ""
    memory: room.MemoryHeadroom | None = None

    @cached_property
    def by_key(self) -> dict[str, HeldModel]:
        return {names.key(one.name): one for one in self.models or ()}

    @cached_property
    def loaded_keys(self) -> frozenset[str]:
        return frozenset(names.key(one.name) for one in self.loaded)

    @cached_property
    def wanted_keys(self) -> frozenset[str]:
        return frozenset(names.key(name) for name in self.settings.models())

    def get(self, name: str) -> HeldModel | None:
        return self.by_key.get(names.key(name))

    @cached_property
    def our_keys(self) -> frozenset[str]:
        return frozenset(names.key(one.name) for one in self.ours())

    def ours(self) -> tuple[HeldModel, ...]:
        """What we pulled, is still as we left it, and the host no longer wants."""
        digests = {names.key(name): one.digest for name, one in self.pulled.items()}
        return tuple(
            one
            for key, one in sorted(self.by_key.items())
            if key not in self.wanted_keys and one.has_digest(digests.get(key, "-"))
        )

    @property
    def rate(self) -> float | None:
        """Bytes per second of the pulls that are on record; None where they were too small to tell."""
        told = [one for one in self.pulled.values() if one.bytes >= 1_000_000 and one.seconds > 0]
        return sum(one.bytes for one in told) / sum(one.seconds for one in told) if told else None


def of(settings: Settings, facts: Facts, store: str, by_api: Mapping[str, Fetched] | None = None) -> Holding:
    """What a host holds; `store` is its model store, as the server names it.

    by_api: what the controller remembers of pulls that left nothing on the host.
    """
    tags, ps = _listing(facts, "/api/tags"), _listing(facts, "/api/ps")
    disk = facts.disks.get(store)
    return Holding(
        facts.host,
        settings,
        None if tags is None else tuple(_held(row, facts.identities) for row in tags.models),
        tuple(map(_loaded, ps.loaded)) if ps else (),
        facts.blobs,
        disk.free if disk else None,
        _newest(facts.pulled, by_api or {}),
        SILENT if tags is None else _left_out(tags.odd),
        room.memory(settings, facts),
    )


def _newest(by_host: Mapping[str, Fetched], by_api: Mapping[str, Fetched]) -> dict[str, Fetched]:
    """By each name what was brought last, by whichever way."""
    both = sorted([*by_host.items(), *by_api.items()], key=lambda item: item[1].time)
    return {names.key(name): one for name, one in both}


def _listing(facts: Facts, path: str) -> probe.Listing | None:
    return next((found for one in facts.exchanges if one.path == path and (found := probe.listing(one))), None)


def _left_out(odd: tuple[str, ...]) -> str:
    return f"lists what no model is called, so it is left out: {', '.join(odd)}" if odd else ""


def _held(row: probe.ListedModel, identities: Mapping[str, frozenset[str]]) -> HeldModel:
    return HeldModel(row.name, row.digest, row.size or 0, identities.get(row.digest, frozenset()))


def _loaded(row: probe.RunningModel) -> LoadedModel:
    return LoadedModel(row.name, row.size or 0, row.size_vram or 0, row.context or None, row.expires_at)
