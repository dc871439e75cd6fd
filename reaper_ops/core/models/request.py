"""What a host is told to do about its models: names at the mirror, and what each model must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reaper_ops.core import url
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.names import MirrorAddress

VERIFY_TIMEOUT = 3600


@dataclass(frozen=True)
class Order:
    """What is wanted of all hosts: names, the lock's entries, how patient a pull is. owner: who asks for it."""

    wanted: Mapping[str, Sequence[str]]
    locked: Mapping[str, Any]
    direct: bool
    options: Mapping[str, int]
    owner: str

    def params(self, host: Host) -> dict[str, Any]:
        """Those of the module ollama_pull that the steps of a pull read."""
        models = list(self.wanted[host.name])
        return {
            "url": url_of(host),
            "models": models,
            "again": False,
            "locked": {name: self.locked[name] for name in models if name in self.locked},
            "sources": {} if self.direct else sources(host.settings),
            "insecure_registries": sorted(plain_http(host.settings)),
            "retries": self.options.get("reaper_retries", 4),
            "stall_timeout": self.options.get("reaper_stall_timeout", 75),
            "verify_timeout": VERIFY_TIMEOUT,
        }


def url_of(host: Host) -> str:
    """Where this machine reaches the host's server."""
    return str(url.parse(host.base_url))


def registry_url(name: str, params: Mapping[str, Any]) -> str:
    """Of the registry in the name, as the host asks it."""
    host = names.split(name).host
    return f"{'http' if host in params['insecure_registries'] else 'https'}://{host}"


def lookups(params: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(registry's URL, name) of each manifest that the host's pull compares with the lock."""
    asked = {str(params["sources"].get(name, name)) for name in params["models"]}
    return {(registry_url(name, params), name) for name in asked}


def mirror_of(settings: Settings) -> MirrorAddress | None:
    if settings.ollama_mirror is None:
        return None
    registries = frozenset(settings.ollama_mirror_registries)
    return names.mirror(settings.ollama_mirror, registries, settings.ollama_mirror_sources)


def sources(settings: Settings, models: Iterable[str] | None = None) -> dict[str, str]:
    """The names under which the site mirror has these models, else the wanted ones; those of others have none."""
    mirror = mirror_of(settings)
    found = {name: names.split(name) for name in (settings.models() if models is None else models)}
    return {name: whole.at(mirror.place(whole)).full for name, whole in found.items() if mirror and mirror.has(whole)}


def plain_http(settings: Settings) -> frozenset[str]:
    """Registries that the host asks over plain HTTP, its mirror among them where that is so."""
    mirror = mirror_of(settings)
    plain = mirror.places if mirror and mirror.insecure else frozenset()
    return plain | frozenset(settings.ollama_insecure_registries)


def locked(lock: Lock, wanted: Iterable[str]) -> dict[str, Any]:
    """Arguments of the module ollama_pull, by the names as they are written."""
    entries = {name: lock.get(name) for name in wanted}
    return {name: {"digest": one.digest, "blobs": one.blobs} for name, one in entries.items() if one}
