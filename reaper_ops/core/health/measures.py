"""What was measured of a host, as it stands in the `facts` of its report. Numbers only, no judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reaper_ops.core import typed
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.health.probe import ListedModel, Observation, RunningModel


@dataclass(frozen=True)
class Room:
    """Bytes of memory or swap."""

    total: int
    free: int


@dataclass(frozen=True)
class Card:
    """Memory of one GPU in bytes; used is None where its tool did not say."""

    name: str
    total: int
    used: int | None = None


@dataclass(frozen=True)
class Measures:
    """None and empty where nothing was read; a host that answers well is not read, and shows its models alone."""

    latency_ms: Mapping[str, float] = field(default_factory=dict)
    memory: Room | None = None
    swap: Room | None = None
    gpus: tuple[Card, ...] = ()
    models: tuple[ListedModel, ...] | None = None
    loaded: tuple[RunningModel, ...] | None = None
    oom_kills: int | None = None

    @property
    def vram(self) -> int:
        """Bytes that loaded models hold in GPU memory."""
        return sum(row.size_vram or 0 for row in self.loaded or ())


@cache
def _adapter() -> TypeAdapter[Measures]:
    return TypeAdapter(Measures)


def take(seen: Observation, facts: Facts | None) -> dict[str, Any]:
    """As plain data, without what is not known."""
    found = Measures(
        latency_ms=seen.latency_ms(),
        memory=Room(facts.memory.total, facts.memory.available) if facts and facts.memory else None,
        swap=Room(facts.memory.swap_total, facts.memory.swap_free) if facts and facts.memory else None,
        gpus=_cards(facts) if facts else (),
        models=seen.models,
        loaded=seen.loaded,
        oom_kills=facts.cgroup_oom_kills if facts else None,
    )
    plain: dict[str, Any] = _adapter().dump_python(found, mode="json", exclude_defaults=True)
    return {"latency_ms": {}, **plain}


def _cards(facts: Facts) -> tuple[Card, ...]:
    nvidia = tuple(Card(gpu.name, gpu.memory_total, gpu.memory_used) for gpu in facts.gpu.nvidia or ())
    amd = tuple(Card(gpu.gfx or "AMD GPU", gpu.memory_total, gpu.memory_used) for gpu in facts.gpu.amd)
    return nvidia + amd


def read(plain: Mapping[str, object]) -> Measures:
    """From the facts of a report, also of one that another version wrote: what does not fit is not known."""
    try:
        return _adapter().validate_python(plain) if _fits(plain) else Measures()
    except ValidationError:
        return Measures()


def _fits(plain: object) -> bool:
    """Every number has a size that machines have."""
    if isinstance(plain, Mapping):
        return all(map(_fits, plain.values()))
    if isinstance(plain, list | tuple):
        return all(map(_fits, plain))
    return not isinstance(plain, int) or isinstance(plain, bool) or typed.whole(plain) is not None
