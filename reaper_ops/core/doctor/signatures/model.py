"""One signature and what it found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Signature:
    """where: api (HTTP error texts), log (the server's log, journal), kernel, pull (why a pull failed, wherever it is
    said), history (the server's log once more, for its course: such a line may have another meaning beside), any
    (whoever wrote it: server, systemd, kernel, Docker, a client).

    causes: likeliest first. summary: the cause in words, with `{groups}`; empty: the title of its page. sure: the line
    alone proves the cause.

    engine: old (up to 0.24), new (from 0.30) or empty for both.
    """

    id: str
    where: str
    pattern: str
    causes: tuple[str, ...]
    sample: str
    engine: str = ""
    summary: str = ""
    sure: bool = False


@dataclass(frozen=True)
class Hit:
    signature: Signature
    line: str
    groups: dict[str, str]
