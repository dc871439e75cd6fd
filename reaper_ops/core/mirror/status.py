"""How a mirror does, from what its host told: findings, and the numbers for people and for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.core.facts.answers import mapping, number, whole
from reaper_ops.core.values import human_bytes
from reaper_ops.errors import ExitCode

ERROR, WARNING = "error", "warning"
ACTIVE = re.compile(r"^Active connections: (\d+)", re.MULTILINE)
LOW = 2 << 30
BAD = 500


@dataclass(frozen=True)
class MirrorFinding:
    """place is a part of the mirror; step is what to do."""

    id: str
    severity: str
    problem: str
    step: str


@dataclass(frozen=True)
class Status:
    """counters: since the mirror came up; blobs: by digest; connections: None where the mirror does not answer."""

    host: str
    findings: tuple[MirrorFinding, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    blobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    cache_bytes: int = 0
    own_bytes: int = 0
    free: int | None = None
    connections: int | None = None
    problem: str = ""

    @property
    def word(self) -> str:
        if self.problem:
            return "unknown"
        errors = [finding.id for finding in self.findings if finding.severity == ERROR]
        return errors[0] if errors else self.findings[0].id if self.findings else "healthy"

    @property
    def exit_code(self) -> ExitCode:
        if self.problem:
            return ExitCode.UNKNOWN
        return ExitCode.worst(errors=any(f.severity == ERROR for f in self.findings), warnings=self.findings)

    @property
    def saved(self) -> float | None:
        """How many copies went out for each that came in."""
        came, went = self.counters.get("wan_bytes", 0), self.counters.get("lan_bytes", 0)
        return round(went / came, 2) if came else None


@dataclass(frozen=True)
class Seen:
    """What was asked on the host. differs: ids of what has drifted."""

    differs: tuple[str, ...]
    health: Mapping[str, Any]
    own: Mapping[str, Any]
    upstream: Mapping[str, Any]
    offline: bool
    store: Mapping[str, Any]
    url: str


def judge(host: str, seen: Seen, load: Mapping[str, Any]) -> Status:
    store = seen.store
    match = ACTIVE.search(str(load.get("body") or ""))
    return Status(
        host,
        tuple(finding for rule in RULES for finding in rule(seen)),
        {name: whole(value) or 0 for name, value in mapping(store.get("counters")).items()},
        mapping(store.get("blobs")),
        mapping(store.get("own")),
        whole(store.get("cache_bytes")) or 0,
        whole(store.get("own_bytes")) or 0,
        whole(store.get("free")),
        number(match[1]) if match else None,
    )


def running(seen: Seen) -> Iterator[MirrorFinding]:
    if seen.health.get("status") != 200:
        why = seen.health.get("detail") or seen.health.get("error") or f"answers {seen.health.get('status')}"
        step = "`reaper-ops models mirror up`; the log is error.log or mirror.log in its directory"
        yield MirrorFinding("not-running", ERROR, f"{seen.url} does not answer: {why}", step)


def upstream(seen: Seen) -> Iterator[MirrorFinding]:
    if seen.offline or seen.health.get("status") != 200:
        return
    status = seen.upstream.get("status")
    if status is None or status >= BAD:
        problem = f"the upstream cannot be reached ({status or seen.upstream.get('error') or 'no answer'})"
        step = "error.log of the mirror says why: its DNS, the route to the internet, or a certificate"
        yield MirrorFinding("upstream-unreachable", ERROR, f"{problem}; only what is in the cache is served", step)


def own(seen: Seen) -> Iterator[MirrorFinding]:
    if seen.health.get("status") == 200 and seen.own.get("status") != 200:
        problem = f"Distribution does not answer ({seen.own.get('status') or 'no answer'}): own models are away"
        yield MirrorFinding(
            "own-unreachable", ERROR, problem, "`reaper-ops models mirror up`; see that docker-registry is there"
        )


def drift(seen: Seen) -> Iterator[MirrorFinding]:
    rest = [id_ for id_ in seen.differs if id_ != "mirror/start"]
    if rest or (seen.differs and seen.health.get("status") == 200):
        names = ", ".join(rest or seen.differs)
        yield MirrorFinding(
            "differs",
            WARNING,
            f"differs from its settings: {names}",
            "`reaper-ops models mirror up` shows and applies it",
        )


def room(seen: Seen) -> Iterator[MirrorFinding]:
    free = whole(seen.store.get("free"))
    if free is not None and free < LOW:
        step = "`reaper-ops models mirror gc`, or a smaller mirror_cache_size"
        yield MirrorFinding("disk-low", WARNING, f"{human_bytes(free)} are free on its disk", step)


RULES: tuple[Callable[[Seen], Iterator[MirrorFinding]], ...] = (running, own, upstream, drift, room)
