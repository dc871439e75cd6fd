"""Who seeds a swarm: the site mirror's host, else the controller; and where it gets each model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.mirror import desired_state
from reaper_ops.core.models import names, request

CONTROLLER = "localhost"
CACHE = "~/.cache/reaper_ops/swarm"


@dataclass(frozen=True)
class Seed:
    """host: for Ansible. asked: a name or address of it in the fleet's network, empty where none is known.

    dir: where it keeps blobs meanwhile. manifest: what is ours on that host. become: as root; it may install.
    """

    host: str
    asked: str
    dir: str
    manifest: str = ""
    become: bool = False


def choose(everybody: Iterable[Host], pulling: Iterable[Host]) -> Seed:
    """everybody: the whole inventory, since a limit may leave the mirror out."""
    mirrors = [host for host in everybody if host.settings.mirror_runtime != "none"]
    if not mirrors:
        return Seed(CONTROLLER, "", CACHE)
    known = {urlsplit(host.settings.ollama_mirror or "").hostname for host in pulling} - {None}
    found = next((host for host in mirrors if {host.name, host.address} & known), mirrors[0])
    places = desired_state.paths(found.settings, "~")
    named = sorted(name for name in known if name) if len(mirrors) == 1 else []
    asked = named[0] if len(named) == 1 else found.address or found.name
    root = found.settings.mirror_runtime != "process"
    return Seed(found.name, asked, places["swarm"], places["manifest"], root)


def origins(pulling: Iterable[Host]) -> dict[str, dict[str, str]]:
    """URLs of manifest and blobs of every wanted model, at the site mirror where it has them."""
    found: dict[str, dict[str, str]] = {}
    for host in pulling:
        sources, plain = request.sources(host.settings), request.plain_http(host.settings)
        for name in host.settings.models():
            there = names.split(sources.get(name, name))
            base = f"{'http' if there.host in plain else 'https'}://{there.host}"
            found.setdefault(name, {"manifest": there.manifest_url(base), "blob": there.blob_url(base, "")})
    return found


def variables(seed: Seed, address: str, pulling: tuple[Host, ...]) -> dict[str, Any]:
    """What swarm.yml wants to know."""
    proxies = [host.settings.ollama_https_proxy for host in pulling if host.settings.ollama_https_proxy]
    return {
        "host": seed.host,
        "become": seed.become,
        "dir": seed.dir,
        "manifest": seed.manifest,
        "address": address,
        "proxy": proxies[0] if proxies else "",
        "models": origins(pulling),
    }
