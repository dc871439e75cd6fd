"""What a host is told to do about its models: names at the mirror, and what each model must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reaper_ops.core import url
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.names import MirrorAddress


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
