"""The site mirror of more than one host that name none: the only one of their inventory."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from reaper_ops.core.inventory.hosts import LOCAL_NAMES, Host, Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.inventory.settings.mirror import OFFLINE
from reaper_ops.core.models.strategy import Strategy
from reaper_ops.errors import ReaperError

UP = "`reaper-ops models mirror up` brings it up, `ollama_mirror` names another"


@dataclass(frozen=True)
class Site:
    """host: the mirror's name in the inventory; url: at which the others reach it; serves: hosts that get it."""

    host: str
    url: str
    serves: tuple[str, ...]
    ports: Mapping[str, int]

    def settings(self, host: str, known: Settings) -> Settings:
        """Those of the host, with the mirror where it gets it."""
        if host not in self.serves:
            return known
        ports = known.ollama_mirror_sources or dict(self.ports)
        return known.model_copy(update={"ollama_mirror": self.url, "ollama_mirror_sources": ports})


@dataclass(frozen=True)
class Chosen:
    """site: None where every host keeps its own way. note: for the user."""

    site: Site | None = None
    note: str = ""

    def settings(self, host: str, known: Settings) -> Settings:
        return self.site.settings(host, known) if self.site else known

    def inventory(self, known: Inventory) -> Inventory:
        return Inventory(tuple(replace(one, settings=self.settings(one.name, one.settings)) for one in known.hosts))

    def variables(self) -> dict[str, Any]:
        """What ollama_plan takes, which makes a Site of it again."""
        return {"reaper_site_mirror": asdict(self.site)} if self.site else {}


def needed(hosts: Iterable[Host], strategy: Strategy) -> bool:
    """More than one host without a mirror; who asks for the mirror gets it for one host too."""
    return _enough(len(without(hosts)), strategy)


def _enough(count: int, strategy: Strategy) -> bool:
    return strategy.lone_hosts is not None and count >= strategy.lone_hosts


def chosen(found: Site, strategy: Strategy, *, serves: bool) -> Chosen:
    """A mirror that does not answer is waited for by nobody, and is an error for who asked for it."""
    count = len(found.serves)
    if not _enough(count, strategy):
        return Chosen()
    if serves:
        return Chosen(found, f"hosts that name no mirror ({count}) use that of the inventory, {found.url}")
    if strategy.insists:
        raise ReaperError(found.host, f"is the site mirror, and does not answer at {found.url}", UP)
    return Chosen(None, f"the site mirror does not answer at {found.url}, so each host pulls by itself: {UP}")


def without(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """Managed hosts that want models and name no mirror."""
    return tuple(
        host
        for host in hosts
        if host.settings.ollama_managed and host.settings.models() and host.settings.ollama_mirror is None
    )


def of(everybody: Iterable[Host], pulling: Iterable[Host]) -> Site | None:
    """None where there is no choice or too much of it. everybody: the whole inventory, which a limit may cut."""
    mirrors = [host for host in everybody if host.settings.mirror_runtime != "none"]
    if len(mirrors) != 1:
        return None
    one = mirrors[0].settings
    upstream = urlsplit(one.mirror_upstream).netloc.lower()
    lacking = [host for host in without(pulling) if upstream in _lower(host.settings.ollama_mirror_registries)]
    address = _address(mirrors[0], lacking)
    if one.mirror_upstream == OFFLINE or address is None:
        return None
    port = "" if one.mirror_port == 80 else f":{one.mirror_port}"
    url = f"http://{f'[{address}]' if ':' in address else address}{port}"
    return Site(mirrors[0].name, url, tuple(host.name for host in lacking), one.mirror_sources)


def _lower(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}


def _address(mirror: Host, pulling: Iterable[Host]) -> str | None:
    """Where all of these hosts reach it; None for a mirror on a loopback that is not theirs."""
    bind = ipaddress.ip_address(mirror.settings.mirror_bind or "0.0.0.0")  # noqa: S104 - where none is set
    reached = mirror.address or mirror.name
    own = mirror.is_local or reached in LOCAL_NAMES
    if bind.is_unspecified and not own:
        return reached
    if bind.is_unspecified or bind.is_loopback:
        return "127.0.0.1" if own and all(host.is_local for host in pulling) else None
    return str(bind)
