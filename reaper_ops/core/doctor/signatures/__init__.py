"""Log and error texts of Ollama, systemd, the kernel and GPU stacks: tables, each row with a real sample.

Matching English is the last resort, where neither errno nor status nor JSON says it; so it all lives here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from reaper_ops.core.doctor.signatures import (
    gpu,
    literals,
    memory,
    named,
    named_cards,
    named_engines,
    named_more,
    named_requests,
    pull,
    reach,
    server,
    slow,
    storage,
    web,
)
from reaper_ops.core.doctor.signatures.model import Hit, Signature
from reaper_ops.core.doctor.signatures.prefilter import bare_of

TABLE = (
    *(*memory.TABLE, *gpu.TABLE, *server.TABLE, *slow.TABLE, *pull.TABLE, *reach.TABLE, *storage.TABLE, *web.TABLE),
    *(*named.TABLE, *named_more.TABLE, *named_cards.TABLE, *named_requests.TABLE, *named_engines.TABLE),
)
Names = tuple[str, ...]
SERVED, ASKED = "history", "request-served"
"""The one scope, and the one signature, that read the lines about requests."""
REQUEST = "[GIN] "
BEGAN = "Listening on "
OUT_OF_MEMORY = frozenset(
    {"ram-preflight", "ram-too-large", "vram-oom-startup", "vram-oom", "gpu-oom-other", "ram-malloc"}
)
KILLED = frozenset({"runner-killed", "runner-gone-killed"})


@dataclass(frozen=True)
class _Row:
    signature: Signature
    pattern: re.Pattern[str]
    literals: tuple[bytes, ...] | None

    def may_stand_in(self, bare: bytes) -> bool:
        return self.literals is None or any(literal in bare for literal in self.literals)

    def hit(self, line: str) -> Hit | None:
        found = self.pattern.search(line)
        if found is None:
            return None
        return Hit(self.signature, line.strip(), {k: v for k, v in found.groupdict().items() if v is not None})


def _row(signature: Signature) -> _Row:
    sure = literals.of(signature.pattern)
    return _Row(signature, re.compile(signature.pattern), None if sure is None else tuple(map(bare_of, sure)))


@cache
def _rows(where: str | Names) -> tuple[_Row, ...]:
    """Of a scope, or of these names."""
    if not isinstance(where, str):
        return tuple(_by_id()[id_] for id_ in where)
    return tuple(row for row in _by_id().values() if where in row.signature.where.split())


@lru_cache(maxsize=4096)
def _likely(where: str | Names, bare: bytes) -> tuple[_Row, ...]:
    return tuple(row for row in _rows(where) if row.may_stand_in(bare))


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
    return {signature.id: _row(signature) for signature in TABLE}


def all_of(where: str, line: str) -> tuple[Hit, ...]:
    """What every signature of the scope that fits the line finds in it."""
    found = (row.hit(line) for row in _likely(where, bare_of(line)))
    return tuple(hit for hit in found if hit is not None)


def stands_in(id_: str, text: str | None) -> bool:
    """Whether any line has it, of those that are not about requests."""
    row = _by_id()[id_]
    if not text or not row.may_stand_in(_log(text, served=False).bare):
        return False
    return any(row.pattern.search(line) for line in _log(text, served=False).lines)


def hits(where: str | Names, text: str | None) -> tuple[Hit, ...]:
    """Every line of a log that a signature of the scope, or one of these names, fits, in order."""
    return _hits(where, text) if text else ()


@lru_cache(maxsize=32)
def _hits(where: str | Names, text: str) -> tuple[Hit, ...]:
    log = _log(text, served=where == SERVED or ASKED in where)
    likely = ((line, _likely(where, bare)) for line, bare in zip(log.lines, log.bare_lines, strict=True))
    found = (next(filter(None, (row.hit(line) for row in rows)), None) for line, rows in likely if rows)
    return tuple(hit for hit in found if hit is not None)


@dataclass(frozen=True)
class _Log:
    """A text by its lines."""

    lines: tuple[str, ...]

    @cached_property
    def bare(self) -> bytes:
        return bare_of("\n".join(self.lines))

    @cached_property
    def bare_lines(self) -> list[bytes]:
        return self.bare.split(b"\n") if self.lines else []


@lru_cache(maxsize=8)
def _log(text: str, served: bool = True) -> _Log:
    """served: with the lines about requests. They tell what clients asked, and anybody may ask for anything."""
    lines = text.splitlines()
    return _Log(tuple(lines if served else (line for line in lines if REQUEST not in line)))


def lines_with(text: str | None, *marks: str) -> tuple[str, ...]:
    """Lines in which one of these texts stands, in order."""
    text = text or ""
    return tuple(text[start:end] for start, end in sorted({span for mark in marks for span in _spans(text, mark)}))


def _spans(text: str, mark: str) -> Iterator[tuple[int, int]]:
    at = text.find(mark)
    while at >= 0:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield text.rfind("\n", 0, at) + 1, end
        at = text.find(mark, end)


@lru_cache(maxsize=8)
def last_run(text: str | None) -> str:
    """From the line on with which the server last began to listen; all of it where no line says so."""
    text = text or ""
    at = len(text)
    while (at := text.rfind(BEGAN, 0, at)) >= 0:
        start = text.rfind("\n", 0, at) + 1
        line = text[start:].partition("\n")[0]
        if REQUEST not in line and only("listening", line) is not None:
            return text[start:]
    return text


def _first(rows: tuple[_Row, ...], line: str) -> Hit | None:
    bare = bare_of(line)
    for row in rows:
        if row.may_stand_in(bare) and (found := row.hit(line)) is not None:
            return found
    return None


def engine(version: str | None) -> str:
    """``old`` up to 0.24, ``new`` from 0.30 (nothing lies between), empty when the version says nothing."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    if not found or (int(found[1]), int(found[2])) == (0, 0):
        return ""
    return "new" if (int(found[1]), int(found[2])) >= (0, 30) else "old"
