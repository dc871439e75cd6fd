"""Which hosts want which models, and by which sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reaper_ops.core.inventory.hosts import Host, Inventory
from reaper_ops.core.inventory.settings.combinations import expand
from reaper_ops.core.models import names
from reaper_ops.errors import ReaperError

SETS = "`reaper-ops models sets` shows what is wanted"


@dataclass(frozen=True)
class ModelSet:
    """A set as some hosts know it; a group that overrides it makes another one of the same name."""

    name: str
    members: tuple[str, ...]
    models: tuple[str, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class DesiredModels:
    """asked: `ollama_models` as written; models: with sets resolved."""

    host: str
    asked: tuple[str, ...]
    models: tuple[str, ...]


def sets(inventory: Inventory) -> tuple[ModelSet, ...]:
    """Every set in every form it has in the inventory, by name."""
    found: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for host in inventory.hosts:
        known = host.settings.ollama_model_sets
        for name, members in known.items():
            found.setdefault((name, members, expand(members, known)), []).append(host.name)
    return tuple(ModelSet(*key, tuple(hosts)) for key, hosts in sorted(found.items()))


def desired_models(inventory: Inventory) -> tuple[DesiredModels, ...]:
    return tuple(
        DesiredModels(host.name, host.settings.ollama_models, host.settings.models()) for host in inventory.hosts
    )


def managed(inventory: Inventory) -> tuple[Host, ...]:
    return tuple(host for host in inventory.hosts if host.settings.ollama_managed)


def chosen(models: tuple[str, ...], only: tuple[str, ...]) -> tuple[str, ...]:
    """Of these models those that were named; all where none was."""
    keys = {names.key(name) for name in only}
    return tuple(name for name in models if not keys or names.key(name) in keys)


def by_host(hosts: Iterable[Host], only: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """What each host is to get; those that want none of it are left out. ReaperError where all are."""
    found = {host.name: chosen(host.settings.models(), only) for host in hosts}
    if only and not any(found.values()):
        raise ReaperError(", ".join(only), "no host wants this", SETS)
    return {host: models for host, models in found.items() if models}


def every(hosts: Iterable[Host]) -> dict[str, tuple[str, ...]]:
    """Hosts that want a model, by its whole name, in the order of the inventory."""
    found: dict[str, tuple[str, list[str]]] = {}
    for host in hosts:
        for name in host.settings.models():
            found.setdefault(names.key(name), (names.canonical(name), []))[1].append(host.name)
    return {full: tuple(wanting) for full, wanting in found.values()}


def insecure(hosts: Iterable[Host]) -> frozenset[str]:
    """Registries that any of the hosts asks over plain HTTP."""
    return frozenset(one.lower() for host in hosts for one in host.settings.ollama_insecure_registries)


def overridden(found: Iterable[ModelSet]) -> Mapping[str, int]:
    """How many forms each set has."""
    counts: dict[str, int] = {}
    for one in found:
        counts[one.name] = counts.get(one.name, 0) + 1
    return counts
