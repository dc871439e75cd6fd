"""What the present run of the server did, by its own log: loads, evictions, requests, clients that left."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.signatures.model import Hit

_STAMP = re.compile(r"time=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)\d*(?:Z|([+-])(\d\d):(\d\d))?")
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(h|ms|m|s|µs|us|ns)")
_UNIT = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
ANSWERS = frozenset({"generate", "chat", "embed", "embeddings", "completions", "messages", "responses"})


@dataclass(frozen=True)
class LoggedLoad:
    """at: the server's own local time, seconds. context is of all slots together. ended: `` while it lasts, else
    `done` or `failed`; seconds is how long it took."""

    at: float | None
    model: str
    line: str
    context: int | None = None
    ended: str = ""
    seconds: float | None = None

    @property
    def shown(self) -> str:
        """The line without its many options."""
        clock = _STAMP.search(self.line)
        parts = [
            clock[1].partition("T")[2][:8] if clock else "",
            "starting",
            f"--model {self.model[:19]}",
            f"context {self.context}" if self.context is not None else "",
            f"(started in {self.seconds:.2f} s)" if self.seconds is not None else "",
        ]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Served:
    """A request that was answered: at is its end, in the same time."""

    at: float
    seconds: float
    status: int
    client: str
    path: str
    line: str


@dataclass(frozen=True)
class History:
    """discovery: seconds between the search for GPUs and its result. searching: when such a search began, while it
    has not ended. zone: seconds that the server's local time is ahead of UTC."""

    loads: tuple[LoggedLoad, ...] = ()
    served: tuple[Served, ...] = ()
    evictions: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    discovery: float | None = None
    discovered: str = ""
    searching: float | None = None
    zone: float = 0.0


@dataclass
class _Reading:
    loads: list[LoggedLoad] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    evictions: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    began: float | None = None
    discovery: float | None = None
    discovered: str = ""


@lru_cache(maxsize=4)
def read(log: str | None) -> History:
    """Only from the last `Listening on`: what was before is another run."""
    found = _Reading()
    for hit in signatures.hits(tuple(_TAKERS), signatures.last_run(log)):
        _TAKERS[hit.signature.id](found, hit)
    return History(
        tuple(found.loads),
        tuple(found.served),
        tuple(found.evictions),
        tuple(found.left),
        tuple(found.late),
        found.discovery,
        found.discovered,
        found.began,
        _zone(log or ""),
    )


def _zone(log: str) -> float:
    found = _STAMP.search(log)
    if not found or not found[2]:
        return 0.0
    return (1 if found[2] == "+" else -1) * (int(found[3]) * 3600.0 + int(found[4]) * 60.0)


def _served(found: _Reading, hit: Hit) -> None:
    groups = hit.groups
    at = _clock(f"{groups['day'].replace('/', '-')}T{groups['time']}")
    path = groups["path"].partition("?")[0]
    if at is not None and groups["method"] == "POST" and path.rpartition("/")[2] in ANSWERS:
        row = Served(at, duration(groups["took"]) or 0.0, int(groups["status"]), groups["client"], path, hit.line)
        found.served.append(row)


def _starting(found: _Reading, hit: Hit) -> None:
    """One load at a time: what has not ended when the next begins was given up."""
    _fail(found)
    context = int(hit.groups["context"]) if "context" in hit.groups else None
    found.loads.append(LoggedLoad(_at(hit.line), hit.groups["model"].rpartition("/")[2], hit.line, context))


def _committed(found: _Reading, hit: Hit) -> None:
    if found.loads:
        found.loads[-1] = replace(found.loads[-1], context=int(hit.groups["context"]))


def _started(found: _Reading, hit: Hit) -> None:
    """A server says it twice for one load."""
    if found.loads:
        found.loads[-1] = replace(found.loads[-1], ended="done", seconds=float(hit.groups["seconds"]))


def _fail(found: _Reading) -> None:
    if found.loads and not found.loads[-1].ended:
        found.loads[-1] = replace(found.loads[-1], ended="failed")


def _left(found: _Reading, hit: Hit) -> None:
    found.left.append(hit.line)
    _fail(found)


def _late(found: _Reading, hit: Hit) -> None:
    found.late.append(hit.line)
    _fail(found)


def _evicting(found: _Reading, hit: Hit) -> None:
    found.evictions.append(hit.line)


def _searching(found: _Reading, hit: Hit) -> None:
    found.began = _at(hit.line)


def _found(found: _Reading, hit: Hit) -> None:
    ended = _at(hit.line)
    if found.began is not None and ended is not None and found.discovery is None:
        found.discovery, found.discovered = ended - found.began, hit.line
    found.began = None


_TAKERS: dict[str, Callable[[_Reading, Hit], None]] = {
    "request-served": _served,
    "runner-starting": _starting,
    "runner-committed": _committed,
    "load-succeeded": _started,
    "evicting": _evicting,
    "client-left-load": _left,
    "load-timeout": _late,
    "discovering": _searching,
    "compute-device": _found,
}


def duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it, such as `1m30s`, `4.389087809s` or `73.4µs`."""
    parts = _PART.findall(text)
    return sum(float(number) * _UNIT[unit] for number, unit in parts) if parts else None


def _at(line: str) -> float | None:
    found = _STAMP.search(line)
    return _clock(found[1]) if found else None


def _clock(text: str) -> float | None:
    """Local time as the server writes it, on a scale of seconds; its zone is left out, as GIN lines have none."""
    try:
        return (datetime.fromisoformat(text) - datetime(1970, 1, 1)).total_seconds()
    except ValueError:
        return None


def again(loads: tuple[LoggedLoad, ...], within: float | None) -> list[tuple[LoggedLoad, LoggedLoad]]:
    """Loads of a model that had been loaded before, each with the one before; no later than `within` after it, so
    that it was not idleness which unloaded it. None: any time."""
    last: dict[str, LoggedLoad] = {}
    found = []
    for load in loads:
        if load.ended == "failed":
            continue
        before = last.get(load.model)
        if before is not None and _soon(before, load, within):
            found.append((before, load))
        last[load.model] = load
    return found


def _soon(before: LoggedLoad, load: LoggedLoad, within: float | None) -> bool:
    if within is None or before.at is None or load.at is None:
        return True
    return load.at - before.at < within


def kept(text: str | None) -> float | None:
    """Seconds that an idle model stays loaded; None means forever. A bare number is seconds, as for Ollama."""
    value = (text or "5m").strip()
    if value.startswith("-"):
        return None
    if re.fullmatch(r"\+?[0-9]{1,12}", value):
        return float(value)
    return duration(value) or 300.0
