"""By which way a host is told what to do: its API from here, or Ansible on the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reaper_ops.core.facts.exchanges import Request
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health import probe
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.values import counted

Way = Literal["api", "host"]
REQUEST = Request("/api/tags", timeout=10.0)
GUARDED = {401, 403, 407}


@dataclass(frozen=True)
class TransportChoice:
    """why: what speaks against the API; empty where it is taken."""

    way: Way
    why: str = ""


def first(done: Sequence[Exchange]) -> Request | None:
    """What a host is asked to find out whether it can be reached."""
    return None if done else REQUEST


def candidates(hosts: Iterable[Host], via: Way | None) -> tuple[Host, ...]:
    """Hosts worth asking; one that was told to be taken by its API is asked in any case."""
    return tuple(host for host in hosts if via == "api" or (via is None and host.is_direct))


def choose(host: Host, heard: Mapping[str, tuple[Exchange, ...]], via: Way | None) -> TransportChoice:
    if via == "api":
        return TransportChoice("api")
    if via == "host":
        return TransportChoice("host", "--via host")
    if host.name not in heard:
        return TransportChoice("host", "its server listens on its loopback alone")
    why = _against(heard[host.name][-1]) if heard[host.name] else "its server was not asked"
    return TransportChoice("host", why) if why else TransportChoice("api")


def _against(answer: Exchange) -> str:
    if answer.error or answer.status is None:
        return f"its API cannot be reached from here ({answer.error or 'no answer'})"
    if answer.status in GUARDED:
        return f"its API wants a login ({answer.status})"
    return "" if probe.listing(answer) else f"what answers there is not Ollama ({answer.status})"


def summary(choices: Mapping[str, TransportChoice]) -> tuple[str, ...]:
    """Which way was taken, in a line for each reason."""
    by_api = sum(choice.way == "api" for choice in choices.values())
    lines = [f"by the API of {counted(by_api, 'host')}"] if by_api else []
    reasons: dict[str, list[str]] = {}
    for host, choice in choices.items():
        if choice.way == "host":
            reasons.setdefault(choice.why, []).append(host)
    for why, hosts in reasons.items():
        shown = ", ".join(hosts[:5]) + (f" and {len(hosts) - 5} more" if len(hosts) > 5 else "")
        lines.append(f"through Ansible on {shown}: {why}")
    return tuple(lines)
