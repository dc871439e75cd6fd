"""What people paste, read: one text or a folder of them, into the answers that a host would have given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reaper_ops.core.doctor.paste import logs, split
from reaper_ops.core.doctor.paste.block import Block
from reaper_ops.core.doctor.paste.evidence import KERNEL, LOG, RING, PastedEvidence
from reaper_ops.core.doctor.paste.http import exchanges_of as exchanges_of
from reaper_ops.core.doctor.paste.plain import LONGEST as LONGEST
from reaper_ops.core.doctor.paste.plain import cleaned as cleaned
from reaper_ops.core.doctor.paste.plain import command_of, plain
from reaper_ops.core.doctor.paste.plain import cut as cut
from reaper_ops.core.facts.exchange import Exchange
from reaper_ops.core.facts.reported import PastedBlock

DEFAULTS = {LOG: "server log", KERNEL: "kernel log", RING: "kernel log", "process": "environment"}
DEFAULTS |= {"unit-text": "unit file", "unit": "systemctl show", "listeners": "sockets"}
"""Parts of which a line is such a one, whatever it looks like."""
LARGEST, MOST = 4 << 20, 50_000
"""Characters and lines of a part that are looked at; a note says where there were more."""
NOTED = 6
NEW = "\n"


@dataclass(frozen=True)
class Reading:
    """outside: what was asked from another machine. runtime: what runs the server, as far as it shows."""

    answers: Mapping[str, Any]
    outside: tuple[Exchange, ...] = ()
    runtime: str = "systemd"
    notes: tuple[str, ...] = ()


def read(parts: Mapping[str, tuple[str, str]]) -> Reading:
    """parts: name to (its text, id of the question that its name stands for, or empty)."""
    into = PastedEvidence()
    for part, (text, own) in parts.items():
        _part(part, text, own, into)
    if KERNEL in into.texts and RING in into.texts:
        into.texts[KERNEL] += into.texts.pop(RING)
    if into.rows.get("containers"):
        into.rows["containers"] = once_each(into.rows["containers"])
        into.rows["container"] = ours_of(into.rows["containers"])[:1]
    return Reading(into.answers(), tuple(into.outside), into.runtime, notes(into.shown))


def _part(part: str, text: str, own: str, into: PastedEvidence) -> None:
    """What of a part with a name nobody knows by its look is what the name says."""
    default = DEFAULTS.get(own, "")
    rest: list[Block] = []
    text, whole = _bounded(text)
    for block in split.blocks(part, text, default):
        kind = split.BY_NAME.get(block.kind)
        if kind is not None and kind.read(block, into) is not False:
            into.shown.append(PastedBlock(part, block.first, block.last, block.kind, block.command))
            if kind.name not in logs.READ_WHOLE:
                logs.overheard(block, into)
        elif kind is None and logs.overheard(block, into):
            into.shown.append(PastedBlock(part, block.first, block.last, "client error", block.command))
        elif own and not default:
            rest.append(block)
        elif block.command or block.fenced or block.value is not None:
            into.shown.append(PastedBlock(part, block.first, block.last, "", block.command, hint(block)))
    if own and own not in into.texts and own != "process" and (rest or not text.strip()):
        into.add(own, "".join(block.text for block in rest) or "\n")
    elif rest:
        into.shown += [PastedBlock(part, one.first, one.last, "", one.command, hint(one)) for one in rest]
    if not whole:
        into.shown.append(
            PastedBlock(part, 0, 0, "", "", f"too long; only its first {text.count(NEW)} lines were read")
        )
    elif not own and not any(one.part == part for one in into.shown):
        into.shown.append(PastedBlock(part, 1, text.count(NEW) + 1, "", "", hint(Block(part, "", ()))))


def _bounded(text: str) -> tuple[str, bool]:
    """(the part of it that is read, whether that is all)."""
    short = text[:LARGEST]
    if short.count(NEW) <= MOST:
        return short, len(short) == len(text)
    return NEW.join(short.split(NEW, MOST)[:MOST]), False


def hint(block: Block) -> str:
    """What would make it readable."""
    if block.value is not None:
        return "JSON of no kind that is known here; say which command printed it"
    if block.command:
        return f"nobody here reads what `{block.command[:60]}` prints"
    return "no output that is known here; paste it with its command on the line above"


def notes(shown: Sequence[PastedBlock]) -> tuple[str, ...]:
    """What the text was recognized as, and every block that was not."""
    counts = Counter(one.kind for one in shown if one.kind)
    known = ", ".join(kind if number == 1 else f"{number} x {kind}" for kind, number in counts.items())
    odd = [one for one in shown if not one.kind]
    said = [f"read as {known}"] if known else []
    for one in odd[:NOTED]:
        place = f"{one.part} lines {one.first}-{one.last}" if one.first else one.part
        said.append(f"not recognized: {place}: {one.hint}")
    more = [f"{len(odd) - NOTED} more blocks were not recognized"] if len(odd) > NOTED else []
    return (*said, *more)


def is_session(text: str) -> bool:
    """Whether a file that should hold an answer holds what was typed to get one, or curl's error."""
    lines = plain(text[:LARGEST]).split("\n")[:40]
    return any(command_of(line) is not None or line.startswith(("curl: (", "* ", "< HTTP/")) for line in lines)


def once_each(rows: list[Any]) -> list[Any]:
    """Of several rows of one container that which says its state, with what only another says."""
    found: dict[str, dict[str, Any]] = {}
    for row in sorted((row for row in rows if isinstance(row, dict)), key=lambda row: not row.get("State")):
        name = str(row.get("Name") or row.get("Id") or len(found)).lstrip("/")
        known = found.setdefault(name, row)
        found[name] = {**row, **{key: value for key, value in known.items() if value}}
    return list(found.values())


def ours_of(rows: list[Any]) -> list[Any]:
    """Our container's own rows first."""
    named = [row for row in rows if isinstance(row, dict)]
    by_name = [row for row in named if str(row.get("Name", "")).lstrip("/") == "ollama"]
    return by_name or [row for row in named if "ollama" in json.dumps(row.get("Config") or {})] or named
