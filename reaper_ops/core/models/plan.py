"""What `models pull` and `prune` would do on each host: bytes over which network, room after, expected time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from reaper_ops.core.models import memory_headroom as room
from reaper_ops.core.models import migration, names
from reaper_ops.core.models.lock import Lock, Locked
from reaper_ops.core.models.memory_headroom import Excess, MemoryHeadroom
from reaper_ops.core.models.model_inventory import Holding
from reaper_ops.core.models.strategy import AS_CONFIGURED, Strategy
from reaper_ops.errors import ExitCode

State = Literal["there", "fetch", "replace", "unlocked"]
Via = Literal["wan", "lan"]
MIN_FREE = 1 << 30


@dataclass(frozen=True)
class Item:
    """One wanted model; bytes are those of the blobs that the host lacks. unlocked: nothing is known of it.

    weights: bytes that it has in memory at least; excess: how they are more than the host's memory. rewrite: bytes that
    the host's server may need beside the model to rewrite it; 0 where it rewrites none, or has done so.
    """

    name: str
    state: State
    via: Via
    bytes: int = 0
    weights: int = 0
    excess: Excess = ""
    rewrite: int = 0


@dataclass(frozen=True)
class HostPullPlan:
    """remove: what `prune` would take away, with its size. seconds: at the rate of the host's pulls on record."""

    host: str
    items: tuple[Item, ...] = ()
    remove: tuple[tuple[str, int], ...] = ()
    free: int | None = None
    seconds: float | None = None
    problem: str = ""
    memory: MemoryHeadroom | None = None

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.items)

    @property
    def free_after(self) -> int | None:
        return None if self.free is None else self.free - self.bytes

    @property
    def too_full(self) -> bool:
        return bool(self.bytes) and self.free_after is not None and self.free_after < MIN_FREE


@dataclass(frozen=True)
class FleetPlan:
    """wan: bytes that cross to the internet, where a mirror fetches each blob once; lan: from the mirror to hosts.

    once: the same with every blob crossing once. giver: where hosts have from what goes over the LAN.
    note: which mirror was chosen for hosts that name none.
    """

    hosts: tuple[HostPullPlan, ...]
    wan: int
    lan: int
    once: int
    giver: str = AS_CONFIGURED.giver
    note: str = ""

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.worst(errors=any(one.problem or one.too_full for one in self.hosts))


def plan(
    holdings: Iterable[Holding], lock: Lock, problems: Mapping[str, str], *, strategy: Strategy = AS_CONFIGURED
) -> FleetPlan:
    """problems: hosts that could not be read."""
    wan, lan = 0, 0
    once: dict[str, int] = {}
    beyond: dict[str, int] = {}
    hosts: list[HostPullPlan] = []
    for one in holdings:
        local = strategy.local(one.settings)
        given: set[str] = set()
        items: list[Item] = []
        for name in one.settings.models():
            via: Via = "lan" if name in local else "wan"
            item, blobs = _item(name, one, lock.get(name), via, given)
            items.append(item)
            given |= set(blobs)
            wan, lan = (wan, lan + item.bytes) if via == "lan" else (wan + item.bytes, lan)
            (once if via == "lan" else beyond).update(blobs)
        hosts.append(_host(one, tuple(items)))
    failed = tuple(HostPullPlan(host, problem=problem) for host, problem in problems.items())
    crossing = sum({**once, **beyond}.values())
    return FleetPlan((*hosts, *failed), wan + sum(once.values()), lan, crossing, strategy.giver)


def _host(one: Holding, items: tuple[Item, ...]) -> HostPullPlan:
    remove = tuple((names.short(model.name), model.size) for model in one.ours())
    rate, count = one.rate, sum(item.bytes for item in items)
    seconds = count / rate if rate and count else None
    return HostPullPlan(one.host, items, remove, one.free, seconds, one.problem, one.memory)


def _item(name: str, one: Holding, locked: Locked | None, via: Via, given: set[str]) -> tuple[Item, Mapping[str, int]]:
    """With the blobs to fetch; those that another model brings (`given`) count once."""
    there = one.get(name)
    if locked is None:
        return Item(name, "there" if there else "unlocked", via), {}
    weights = room.weights(locked)
    excess: Excess = one.memory.excess(weights) if one.memory else ""
    rewrite = migration.room(one.settings.ollama_version, locked)
    if there and there.has_digest(locked.digest):
        left = 0 if there.was_migrated_from(locked.digest) else rewrite
        return Item(name, "there", via, 0, weights, excess, left), {}
    have = one.blobs or frozenset()
    blobs = {
        digest: size
        for digest, size in locked.blobs.items()
        if digest.replace(":", "-") not in have and digest not in given
    }
    return Item(name, "replace" if there else "fetch", via, sum(blobs.values()), weights, excess, rewrite), blobs
