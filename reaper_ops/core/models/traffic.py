"""Which bytes of a pull crossed to the internet and which stayed on the site's own network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Network = Literal["lan", "wan", "seed"]
Sent = tuple[str, str, int]


@dataclass(frozen=True)
class Traffic:
    """lan: from the mirror to hosts; wan: from registries to hosts; once: what the mirror fetched, at most.

    A mirror fetches each blob once and may have it already, so `once` is an estimate: one copy of each model.
    """

    lan: int = 0
    wan: int = 0
    once: int = 0


def network(host: str, name: str, mirrored: Mapping[str, Collection[str]]) -> Network:
    """mirrored: by host, the models that it has from the site mirror."""
    return "lan" if name in mirrored.get(host, ()) else "wan"


def of(sent: Iterable[Sent], mirrored: Mapping[str, Collection[str]]) -> Traffic:
    """From rows of host, model and the bytes that came."""
    lan, wan = 0, 0
    copies: dict[str, int] = {}
    for host, name, count in sent:
        if network(host, name, mirrored) == "lan":
            lan += count
            copies[name] = max(count, copies.get(name, 0))
        else:
            wan += count
    return Traffic(lan, wan, sum(copies.values()))
