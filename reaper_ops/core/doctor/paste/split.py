"""Pasted text into blocks: by prompts and fences, and by what the lines look like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from reaper_ops.core.doctor.paste import command, plain
from reaper_ops.core.doctor.paste.block import Block, Kind, OpenBlock
from reaper_ops.core.doctor.paste.kinds import KINDS
from reaper_ops.core.doctor.paste.line import COMPOSE, PastedLine, parse

OPENERS = [kind for kind in KINDS if kind.opens is not None]
OPENS = re.compile("|".join(f"(?P<k{at}>{kind.opens.pattern})" for at, kind in enumerate(OPENERS) if kind.opens))
HEADING = re.compile(r"^(?:#{2,6} \S|\*\*[^*\n]{1,80}\*\*:?$)")
BY_NAME = {kind.name: kind for kind in KINDS}
JSON_TRIES = 24
JSON = re.compile(r"\s{0,16}(?:\{\s{0,8}(?:[\"}]|$)|\[\s{0,8}(?:[\[{\"\]]|$))")
SLOG = re.compile(r"time=\S{10,40} level=[A-Z]{4,5} source=")
DECODER = json.JSONDecoder()


@dataclass
class Segment:
    """What stands between two prompts, fences or headings."""

    command: str = ""
    fenced: bool = False
    number: int = 0
    lines: list[PastedLine] = field(default_factory=list)


def segments(text: str) -> list[Segment]:
    found, fenced = [Segment()], False
    for number, raw in enumerate(plain.unquoted(plain.plain(text).split("\n")), 1):
        if plain.FENCE.match(raw[: plain.LONGEST]):
            fenced = not fenced
            found.append(Segment(found[-1].command if fenced and not found[-1].lines else "", fenced))
            continue
        if not fenced and HEADING.match(raw):
            found.append(Segment())
            continue
        if found[-1].command.endswith("\\") and not found[-1].lines:
            found[-1].command = f"{found[-1].command[:-1].rstrip()} {raw.strip()}"[: plain.LONGEST]
            continue
        typed = plain.command_of(raw)
        if typed is None and _is_typed(raw, found[-1]):
            typed = raw.strip()
        if typed is None:
            found[-1].lines.append(parse(number, raw))
            continue
        typed, _, error = typed.partition(" Error: ")
        found.append(Segment(typed, fenced, number, [parse(number, f"Error: {error}")] if error else []))
    return [one for one in found if one.command or _has_text(one)]


def _is_typed(raw: str, segment: Segment) -> bool:
    """Whether a command was pasted without its prompt."""
    if not plain.TYPED.match(raw[: plain.LONGEST]) or COMPOSE.match(raw[: plain.LONGEST]):
        return False
    if segment.command or _has_text(segment):
        apart = bool(segment.lines) and not segment.lines[-1].text.strip()
        return apart and not segment.fenced and plain.PLAINLY.match(raw[: plain.LONGEST]) is not None
    return OPENS.match(raw[: plain.LONGEST]) is None


def _has_text(segment: Segment) -> bool:
    return any(line.text.strip() for line in segment.lines)


def blocks(part: str, text: str, default: str = "") -> Iterator[Block]:
    """In order. kind is empty for lines that nobody knows; default: what such lines of this part are."""
    tries = [JSON_TRIES]
    for segment in segments(text):
        if command.RUN.match(segment.command):
            line = PastedLine(segment.number, segment.command, segment.command)
            yield Block(part, "docker run", (line,), segment.command, None, segment.fenced)
        kind = by_command(segment.command)
        if kind is not None and kind.whole and segment.lines:
            end = _end_of(kind, segment.lines)
            yield Block(part, kind.name, _trimmed(segment.lines[:end]), segment.command, None, segment.fenced)
            after = Segment("", segment.fenced, segment.number, segment.lines[end:])
            yield from _clustered(part, after, default, tries) if _has_text(after) else ()
            continue
        rest = kind.name if kind is not None and kind.goes_on is None else default
        yield from _clustered(part, segment, rest, tries)


def _end_of(kind: Kind, lines: list[PastedLine]) -> int:
    """Where output of another kind begins without a prompt: after an empty line, or with a server's own log line."""
    for at in range(1, len(lines)):
        apart = at > 1 and not lines[at - 1].text.strip()
        if not (apart or SLOG.match(lines[at].text)) or not lines[at].text.strip():
            continue
        other = _opener(lines[at])
        if other is not None and other is not kind and not (kind.goes_on and kind.goes_on.match(lines[at].text)):
            return at
    return len(lines)


def by_command(typed: str) -> Kind | None:
    if not typed:
        return None
    return next((kind for kind in KINDS if kind.command is not None and kind.command.search(typed)), None)


def _clustered(part: str, segment: Segment, rest: str, tries: list[int]) -> Iterator[Block]:
    run: OpenBlock | None = None
    lines, at, documents = segment.lines, 0, Documents(segment.lines, tries)
    while at < len(lines):
        line = lines[at]
        if run is not None and _goes_on(run, line):
            run.lines.append(line)
        elif (found := documents.at(at)) is not None:
            yield from _closed(part, segment, run)
            run, (value, length) = None, found
            kind = next((one for one in KINDS if one.fits is not None and one.fits(value)), None)
            yield Block(part, kind.name if kind else "", tuple(lines[at : at + length]), segment.command, value)
            at += length - 1
        else:
            kind = _opener(line) or BY_NAME.get(rest, UNKNOWN)
            if run is None or run.kind is not kind:
                yield from _closed(part, segment, run)
                run = OpenBlock(kind)
            run.lines.append(line)
        at += 1
    yield from _closed(part, segment, run)


def _goes_on(run: OpenBlock, line: PastedLine) -> bool:
    return run.kind.goes_on is not None and run.kind.goes_on.match(line.text) is not None


def _opener(line: PastedLine) -> Kind | None:
    found = OPENS.match(line.message)
    return OPENERS[int(found.lastgroup[1:])] if found and found.lastgroup else None


def _closed(part: str, segment: Segment, run: OpenBlock | None) -> Iterator[Block]:
    if run is not None and any(line.text.strip() for line in run.lines):
        yield Block(part, run.kind.name, _trimmed(run.lines), segment.command, None, segment.fenced)


def _trimmed(lines: list[PastedLine]) -> tuple[PastedLine, ...]:
    """Without the empty lines at its end."""
    end = len(lines)
    while end > 1 and not lines[end - 1].text.strip():
        end -= 1
    return tuple(lines[:end])


class Documents:
    """The JSON documents that begin in the lines of a segment; tries: how many more may be looked for."""

    def __init__(self, lines: list[PastedLine], tries: list[int]) -> None:
        self.lines, self.tries = lines, tries

    @cached_property
    def text(self) -> str:
        return "\n".join(line.whole for line in self.lines)

    @cached_property
    def starts(self) -> list[int]:
        return list(accumulate((len(line.whole) + 1 for line in self.lines), initial=0))

    def at(self, place: int) -> tuple[object, int] | None:
        """(value, lines that it takes)."""
        start = self.lines[place].whole
        if not JSON.match(start[:200]) or self.tries[0] <= 0:
            return None
        self.tries[0] -= 1
        begin = self.starts[place] + len(start) - len(start.lstrip())
        try:
            value, end = DECODER.raw_decode(self.text, begin)
        except (ValueError, RecursionError):
            return None
        return value, self.text.count("\n", begin, end) + 1


UNKNOWN = Kind("", lambda block, into: False)
