"""One HTTP request and its answer, as it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TELLING = frozenset({"server", "via", "location", "access-control-allow-origin"})
"""Headers that tell who answered."""


@dataclass(frozen=True)
class Exchange:
    """One HTTP request as it went. phase: how far it got (resolve, connect, tls, send, read, done).

    headers: the few that tell who answered, names in lower case (server, via, location,
    access-control-allow-origin).

    error is a class of its own, not English: dns, refused, timeout, unreachable, tls, reset, closed, protocol, or "".
    """

    path: str
    phase: str
    error: str = ""
    detail: str = ""
    errno: int | None = None
    address: str = ""
    status: int | None = None
    content_type: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    elapsed_ms: float = 0.0
