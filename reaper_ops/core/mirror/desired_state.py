"""The mirror's files and what it owns, from the settings of its host."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from reaper_ops import assets
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.inventory.settings.mirror import OFFLINE
from reaper_ops.core.provision import layout, quoting

Context = dict[str, Any]
SYSTEM_DATA = "/var/lib/reaper_mirror"
SYSTEM_CONF = "/etc/reaper_ops/mirror"
USER = "reaper_mirror"
UID = 64434
UNITS = ("reaper_mirror_registry.service", "reaper_mirror.service")
PACKAGES = ("nginx", "docker-registry")
LEFT_USERS = ("docker-registry",)
"""Users with the names of their packages, which a purge of these leaves behind."""
PROJECT = "reaper_mirror"
INSIDE = 8000
DOCKER_RESOLVER = "127.0.0.11"


@dataclass(frozen=True)
class MirrorFile:
    """One file of the mirror; `template` is its path under templates/."""

    id: str
    template: str
    path: str
    text: str
    mode: str = "0644"


@dataclass(frozen=True)
class MirrorState:
    """What a host that is the mirror shall be."""

    context: Context
    files: tuple[MirrorFile, ...]

    @property
    def paths(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.context["paths"]
        return found

    @property
    def config_hash(self) -> str:
        return str(self.context["config_hash"])


def of(settings: Settings, home: str = "~", resolvers: tuple[str, ...] = ()) -> MirrorState:
    """`home`: that of the login user; `resolvers`: DNS servers that the host itself uses."""
    context = _context(settings, home, resolvers)
    rows = FILES[settings.mirror_runtime]
    text = "\n".join(_text(template, {**context, "config_hash": ""}) for _, template, _, _ in rows)
    images = "".join(context["images"].values()) if settings.mirror_runtime == "docker" else ""
    context["config_hash"] = hashlib.sha256((text + images).encode()).hexdigest()
    files = tuple(
        MirrorFile(f"mirror/{id_}", template, context["paths"][path], _text(template, context), mode)
        for id_, template, path, mode in rows
    )
    return MirrorState(context, files)


FILES: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "none": (),
    "systemd": (
        ("nginx", "mirror/nginx.conf.j2", "nginx", "0644"),
        ("registry", "mirror/registry.yml.j2", "registry", "0644"),
        ("unit", "mirror/nginx.service.j2", "unit", "0644"),
        ("registry-unit", "mirror/registry.service.j2", "registry_unit", "0644"),
    ),
    "docker": (
        ("nginx", "mirror/nginx.conf.j2", "nginx", "0644"),
        ("registry", "mirror/registry.yml.j2", "registry", "0644"),
        ("compose", "mirror/compose.yaml.j2", "compose", "0644"),
    ),
    "process": (
        ("nginx", "mirror/nginx.conf.j2", "nginx", "0644"),
        ("registry", "mirror/registry.yml.j2", "registry", "0644"),
        ("script", "mirror/mirror.sh.j2", "script", "0755"),
        ("spec", "mirror/mirror.json.j2", "spec", "0644"),
    ),
}


def paths(settings: Settings, home: str) -> dict[str, str]:
    plain = settings.mirror_runtime == "process"
    data = settings.mirror_dir or (f"{home}/.local/share/reaper_ops/mirror" if plain else SYSTEM_DATA)
    conf = f"{data}/conf" if plain else SYSTEM_CONF
    return {
        "data": data,
        "conf": conf,
        "run": f"{data}/run" if plain else "/run/reaper_mirror",
        "log": f"{data}/log",
        "tmp": f"{data}/temporary",
        "cache": f"{data}/cache",
        "own": f"{data}/own",
        "swarm": f"{data}/swarm",
        "sockets": f"{data}/sockets",
        "own_socket": f"{data}/sockets/own.sock",
        "nginx": f"{conf}/nginx.conf",
        "registry": f"{conf}/registry.yml",
        "compose": f"{conf}/compose.yaml",
        "script": f"{conf}/mirror.sh",
        "spec": f"{conf}/mirror.json",
        "unit": f"/etc/systemd/system/{UNITS[1]}",
        "registry_unit": f"/etc/systemd/system/{UNITS[0]}",
        "manifest": f"{data}/manifest.json" if plain else "/var/lib/reaper_ops/mirror/manifest.json",
    }


def _text(template: str, context: Context) -> str:
    return assets.template(template).render(reaper=context)


def _context(settings: Settings, home: str, resolvers: tuple[str, ...]) -> Context:
    sources = _sources(settings)
    docker = settings.mirror_runtime == "docker"
    own = "[^/]+" if settings.mirror_upstream == OFFLINE else "(?:" + "|".join(settings.mirror_own_namespaces) + ")"
    return {
        "marker": layout.MARKER,
        "runtime": settings.mirror_runtime,
        "paths": paths(settings, home),
        "user": "" if settings.mirror_runtime == "process" else USER,
        "uid": UID,
        "sources": sources,
        "ports": _ports(settings, sources),
        "own_pattern": own,
        "allow": _allow(settings),
        "push_allow": list(settings.mirror_push_allow),
        "cache_size": settings.mirror_cache_size,
        "min_free": settings.mirror_min_free,
        "slice": settings.mirror_slice,
        "rate": settings.mirror_rate,
        "pieces_per_minute": 60 * settings.mirror_rate // settings.mirror_slice if settings.mirror_rate else None,
        "resolvers": list(settings.mirror_resolvers or ((DOCKER_RESOLVER,) if docker else resolvers)),
        "ca_file": settings.mirror_ca_file,
        "quoted_images": {
            "nginx": quoting.compose(settings.mirror_nginx_image),
            "registry": quoting.compose(settings.mirror_registry_image),
        },
        "images": {"nginx": settings.mirror_nginx_image, "registry": settings.mirror_registry_image},
        "local_url": f"http://{_local(settings)}",
        "config_hash": "",
    }


def _sources(settings: Settings) -> list[Context]:
    urls = {} if settings.mirror_upstream == OFFLINE else {settings.mirror_port: settings.mirror_upstream}
    plain = frozenset(settings.ollama_insecure_registries)
    urls |= {port: f"{'http' if name in plain else 'https'}://{name}" for name, port in settings.mirror_sources.items()}
    return [
        {"name": urlsplit(url).netloc, "url": url, "tls": url.startswith("https://"), "port": port}
        for port, url in urls.items()
    ]


def _ports(settings: Settings, sources: list[Context]) -> list[Context]:
    """The main port first; it serves own models too."""
    inner = {source["port"]: at for at, source in enumerate(sources)}
    names = {source["port"]: source["name"] for source in sources}
    urls = {source["port"]: source["url"] for source in sources}
    numbers = dict.fromkeys((settings.mirror_port, *inner))
    address = _bind(settings)
    bind = f"[{address}]" if address.version == 6 else str(address)
    docker = settings.mirror_runtime == "docker"
    return [
        {
            "number": number,
            "name": names.get(number, "own models"),
            "own": number == settings.mirror_port and bool(settings.mirror_own_namespaces or number not in inner),
            "inner": inner.get(number),
            "source": urls.get(number, ""),
            "listen": str(INSIDE + at) if docker else f"{bind}:{number}",
            "publish": f"{bind}:{number}:{INSIDE + at}",
        }
        for at, number in enumerate(numbers)
    ]


def _bind(settings: Settings) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(settings.mirror_bind or "127.0.0.1")


def _allow(settings: Settings) -> list[str]:
    """The host itself may always pull. Through a port that Docker publishes on the loopback nobody else comes, and
    who comes has the address of Docker's bridge."""
    bind = _bind(settings)
    if settings.mirror_runtime == "docker" and bind.is_loopback:
        return []
    own = [] if bind.is_unspecified else [str(bind)]
    return list(dict.fromkeys(["127.0.0.1", "::1", *own, *settings.mirror_allow]))


def _local(settings: Settings) -> str:
    """How the host itself reaches its mirror."""
    address = _bind(settings)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    shown = f"[{address}]" if address.version == 6 else str(address)
    return f"{shown}:{settings.mirror_port}"
