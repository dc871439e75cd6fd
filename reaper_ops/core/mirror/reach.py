"""Where a mirror listens and who may pull, when nobody says so: both follow from the hosts of its inventory."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reaper_ops.core.facts.answers import Answers, Ask
from reaper_ops.core.inventory.hosts import LOCAL_NAMES
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.errors import ReaperError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
EVERYBODY = ("0.0.0.0/0", "::/0")
OWN = "addresses"
_INTERFACE = re.compile(r"^\d+: \S+\s+inet6? (\S+)", re.MULTILINE)
_FOUND = re.compile(r"^(\S+)\s+STREAM", re.MULTILINE)


@dataclass(frozen=True)
class Peer:
    """A host of the inventory, and how Ansible reaches it."""

    name: str
    address: str = ""
    connection: str = "ssh"

    @property
    def at(self) -> str:
        return self.address or self.name

    @property
    def ip(self) -> str:
        """Empty for a host that is known by a name."""
        try:
            return str(ipaddress.ip_address(self.at.strip("[]").partition("%")[0]))
        except ValueError:
            return ""

    @property
    def is_here(self) -> bool:
        """On the controller."""
        return self.connection == "local" or self.at in LOCAL_NAMES or (self.ip != "" and _is_loopback(self.ip))


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def bound(settings: Settings, me: Peer, others: Iterable[Peer]) -> Settings:
    """With the address at which the inventory reaches the mirror, where none is set."""
    if settings.mirror_bind is not None:
        return settings
    if me.is_here and all(peer.is_here for peer in others):
        return settings.model_copy(update={"mirror_bind": "127.0.0.1"})
    if me.is_here or not me.ip:
        problem = "is not set, and the inventory has no address of the mirror that other hosts reach"
        step = f"write it for {me.name}, such as mirror_bind: 10.0.0.5; with 0.0.0.0 it listens on all of its addresses"
        raise ReaperError(f"{me.name}/mirror_bind", problem, step)
    return settings.model_copy(update={"mirror_bind": me.ip})


def asks(settings: Settings, others: Iterable[Peer]) -> list[Ask]:
    """Answered on the mirror: its addresses, and how it knows the hosts that are known by name."""
    found: list[Ask] = [{"id": OWN, "kind": "command", "argv": ["ip", "-o", "addr", "show"]}]
    if settings.mirror_allow:
        return found
    names = [peer for peer in others if not peer.ip and not peer.is_here]
    return found + [{"id": _id(peer), "kind": "command", "argv": ["getent", "ahosts", peer.at]} for peer in names]


def _id(peer: Peer) -> str:
    return f"peer {peer.name}"


def allowed(settings: Settings, others: Iterable[Peer], raw: Mapping[str, Any]) -> Settings:
    """With the networks of the hosts of the inventory, where none are set."""
    if settings.mirror_allow:
        return settings
    answers, found = Answers(raw), dict[str, None]()
    near = [net for net in _own(answers) if net.is_private and not net.is_loopback and not net.is_link_local]
    for peer in others:
        if peer.is_here:
            continue
        addresses = [peer.ip] if peer.ip else _FOUND.findall(answers.out(_id(peer)) or "")
        if not addresses:
            problem = f"is not set, and the mirror's host does not know the address of {peer.name}"
            raise ReaperError("mirror_allow", problem, "write the networks that may pull, such as [10.0.0.0/8]")
        found |= dict.fromkeys(_network(address, near) for address in addresses)
    return settings.model_copy(update={"mirror_allow": tuple(found)})


def _network(address: str, near: Iterable[Network]) -> str:
    """The private network that mirror and host share; else the host alone."""
    one = ipaddress.ip_address(address.partition("%")[0])
    return next((str(net) for net in near if one in net), str(one))


def _own(answers: Answers) -> list[Network]:
    rows = _INTERFACE.findall(answers.out(OWN) or "")
    return [ipaddress.ip_network(row, strict=False) for row in rows]


def blockers(settings: Settings, raw: Mapping[str, Any]) -> tuple[str, ...]:
    bind, found = ipaddress.ip_address(settings.mirror_bind or "127.0.0.1"), []
    own = [row.partition("/")[0] for row in _INTERFACE.findall(Answers(raw).out(OWN) or "")]
    if own and not bind.is_unspecified and not bind.is_loopback and str(bind) not in own:
        shown = ", ".join(address for address in own if not _is_loopback(address)) or "none"
        found.append(f"mirror_bind: {bind} is not an address of this host; write one of its own: {shown}")
    if settings.mirror_runtime == "docker" and bind.version == 6 and EVERYBODY[1] not in settings.mirror_allow:
        step = "write an IPv4 address, or mirror_runtime: systemd, or serve everybody by mirror_allow"
        found.append(f"mirror_bind: {bind}: Docker does not tell the mirror who an IPv6 client is; {step}")
    return tuple(found)


def description(settings: Settings) -> str:
    """For the plan: where it will listen, and for whom."""
    bind = settings.mirror_bind or "127.0.0.1"
    ports = dict.fromkeys((settings.mirror_port, *settings.mirror_sources.values()))
    places = ", ".join(f"{f'[{bind}]' if ':' in bind else bind}:{port}" for port in ports)
    who = ", ".join(settings.mirror_allow) or "nobody but this host"
    everybody = set(EVERYBODY) & set(settings.mirror_allow)
    return f"it will listen on {places}; who may pull: {'everybody who reaches it' if everybody else who}"
