"""What `models lock` and `models update` did, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Locked
from reaper_ops.core.models.lock_update import LOUD, LockChange, Locking
from reaper_ops.core.values import counted, human_bytes
from reaper_ops.formats.visible import field, one_line

SCHEMA = "reaper-ops/models.locking/1"


def as_text(found: Locking, place: str, written: bool) -> str:
    lines = [_line(change) for change in found.changes if change.kind in LOUD]
    kept = sum(change.kind == "kept" for change in found.changes)
    lines += [f"{kept} models are as locked"] if kept else []
    total = human_bytes(sum(one.size for one in found.lock.models))
    verb = "holds" if written else "would hold"
    lines.append(f"{place} {verb} {counted(len(found.lock.models), 'model')}, {total}")
    if found.moved:
        lines.append(f"{len(found.moved)} tags have moved; `reaper-ops models update` lets the lock follow")
    return "\n".join(map(one_line, lines))


def _line(change: LockChange) -> str:
    head = f"{change.kind:8}{names.short(change.name)}"
    if change.kind == "failed":
        kept = "; its entry stays as it was" if change.before else ""
        return f"{head}  {change.problem}{kept}"
    if change.kind == "removed":
        return f"{head}  no host wants it"
    assert change.after is not None
    if change.before is None:
        return f"{head}  {twelve(change.after.digest)}  {human_bytes(change.after.size)}"
    digests = f"{twelve(change.before.digest)} -> {twelve(change.after.digest)}"
    fresh = f"{human_bytes(change.fresh_bytes)} of {human_bytes(change.after.size)} new"
    return f"{head}  {digests}  {fresh}; locked {change.before.at}"


def twelve(digest: str) -> str:
    """As Ollama shows it."""
    return digest.removeprefix("sha256:")[:12]


def as_json(found: Locking, place: str, written: bool) -> str:
    rows = [
        {
            "name": change.name,
            "change": change.kind,
            "before": _entry(change.before),
            "now": _entry(change.after),
            "new_bytes": change.fresh_bytes,
            "problem": change.problem,
        }
        for change in found.changes
    ]
    return json.dumps({"schema": SCHEMA, "lock": place, "written": written, "models": rows}, indent=2)


def _entry(one: Locked | None) -> dict[str, Any] | None:
    return {"digest": one.digest, "size": one.size, "at": one.at} if one else None


def as_lines(found: Locking, place: str, written: bool) -> str:
    return "\n".join(f"{change.kind} {field(change.name)} {field(_digest(change))}" for change in found.changes)


def _digest(change: LockChange) -> str:
    shown = change.after or change.before
    return shown.digest if shown else "-"


FORMATS: dict[str, Callable[[Locking, str, bool], str]] = {"text": as_text, "json": as_json, "lines": as_lines}
