"""Log and error texts of Ollama, systemd, the kernel and GPU stacks: tables, each row with a real sample.

Matching English is the last resort, where neither errno nor status nor JSON says it; so it all lives here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate

from reaper_ops.core.signatures import gpu, literals, memory, pull, reach, server, slow, storage, web
from reaper_ops.core.signatures.model import Hit, Signature

TABLE = (*memory.TABLE, *gpu.TABLE, *server.TABLE, *slow.TABLE, *pull.TABLE, *reach.TABLE, *storage.TABLE, *web.TABLE)
SERVED = "history"
"""The one scope that reads the lines about requests."""
REQUEST = "[GIN] "
OUT_OF_MEMORY = frozenset(
    {"ram-preflight", "ram-too-large", "vram-oom-startup", "vram-oom", "gpu-oom-other", "ram-malloc"}
)
KILLED = frozenset({"runner-killed", "runner-gone-killed"})


@dataclass(frozen=True)
class _Row:
    signature: Signature
    pattern: re.Pattern[str]
    literals: frozenset[str] | None

    def may_stand_in(self, lowered: str) -> bool:
        return self.literals is None or any(literal in lowered for literal in self.literals)

    def hit(self, line: str) -> Hit | None:
        found = self.pattern.search(line)
        if found is None:
            return None
        return Hit(self.signature, line.strip(), {k: v for k, v in found.groupdict().items() if v is not None})


@cache
def _rows(where: str) -> tuple[_Row, ...]:
    return tuple(_Row(s, re.compile(s.pattern), literals.of(s.pattern)) for s in TABLE if where in s.where.split())


@cache
def pattern(id_: str) -> re.Pattern[str]:
    """The one of this id, for a rule that looks for nothing else."""
    return next(re.compile(signature.pattern) for signature in TABLE if signature.id == id_)


def match(where: str, line: str) -> Hit | None:
    """The first signature of the table that fits the line."""
    return _first(_rows(where), line) if line and (where == SERVED or REQUEST not in line) else None


def only(id_: str, line: str) -> Hit | None:
    """What the one signature of this name finds in the line."""
    return _by_id()[id_].hit(line)


@cache
def _by_id() -> dict[str, _Row]:
    return {s.id: _Row(s, re.compile(s.pattern), literals.of(s.pattern)) for s in TABLE}


def stands_in(id_: str, text: str | None) -> bool:
    """Whether any line has it, of those that are not about requests."""
    row = _by_id()[id_]
    if not text or not row.may_stand_in(_log(text, served=False).lowered):
        return False
    return any(row.pattern.search(line) for line in _log(text, served=False).lines)


def hits(where: str, text: str | None) -> Iterator[Hit]:
    """Every line of a log that a signature fits, in order."""
    return (hit for _, hit in places(where, text))


def places(where: str, text: str | None) -> tuple[tuple[int, Hit], ...]:
    """The same, each with the number of its line, from 0."""
    return _places(where, text) if text else ()


@lru_cache(maxsize=32)
def _places(where: str, text: str) -> tuple[tuple[int, Hit], ...]:
    """Only lines in which a literal of a row stands are tried, and only with that row."""
    log = _log(text, served=where == SERVED)
    tried: dict[int, list[_Row]] = {}
    for row in _rows(where):
        for n in range(len(log.lines)) if row.literals is None else log.numbers(row.literals):
            tried.setdefault(n, []).append(row)
    found = ((n, next(filter(None, (row.hit(log.lines[n]) for row in tried[n])), None)) for n in sorted(tried))
    return tuple((log.at[n], hit) for n, hit in found if hit is not None)


@dataclass(frozen=True)
class _Log:
    """A text by its lines; starts are where they begin in the lower-case text, and where it ends; at: their numbers."""

    lowered: str
    starts: tuple[int, ...]
    lines: tuple[str, ...]
    at: Sequence[int]

    def numbers(self, literals: Iterable[str]) -> set[int]:
        """Of the lines in which one of these stands, which are in lower case."""
        found: set[int] = set()
        for literal in literals:
            at = self.lowered.find(literal)
            while at >= 0:
                n = bisect_right(self.starts, at) - 1
                found.add(n)
                at = self.lowered.find(literal, self.starts[n + 1])
        return found


@lru_cache(maxsize=8)
def _log(text: str, served: bool = True) -> _Log:
    """served: with the lines about requests. They tell what clients asked, and anybody may ask for anything."""
    lines = text.splitlines()
    at: Sequence[int] = range(len(lines))
    if not served and REQUEST in text:
        at = [n for n, line in enumerate(lines) if REQUEST not in line]
        lines = [lines[n] for n in at]
        text = "\n".join(lines)
    lowered = text.lower()
    starts = (0, *accumulate(map(len, lowered.splitlines(keepends=True))))
    return _Log(lowered, starts, tuple(lines), at)


def lines_with(text: str | None, *marks: str) -> tuple[str, ...]:
    """Lines in which one of these texts stands, in order; upper and lower case are the same."""
    if not text:
        return ()
    log = _log(text)
    return tuple(log.lines[n] for n in sorted(log.numbers(mark.lower() for mark in marks)))


def _first(rows: tuple[_Row, ...], line: str) -> Hit | None:
    lowered = line.lower()
    for row in rows:
        if row.may_stand_in(lowered) and (found := row.hit(line)) is not None:
            return found
    return None


def engine(version: str | None) -> str:
    """``old`` up to 0.24, ``new`` from 0.30 (nothing lies between), empty when the version says nothing."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    if not found or (int(found[1]), int(found[2])) == (0, 0):
        return ""
    return "new" if (int(found[1]), int(found[2])) >= (0, 30) else "old"
