"""What the host answered, read without ever raising: a part that is absent or has an odd shape is None or empty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reaper_ops.core import typed

Ask = dict[str, Any]
DENIED = re.IGNORECASE | re.MULTILINE
LATE = "did not finish in time"
NO_ANSWER = "no answer in time"
"""What `reaper_read` says of a question that it did not come to before its own time was over."""


@dataclass(frozen=True)
class Command:
    """rc is None when it was killed for time or never ran."""

    rc: int | None
    out: str
    err: str
    missing: bool
    timed_out: bool


@dataclass(frozen=True)
class Answers:
    raw: Mapping[str, Any]

    def get(self, id_: str) -> Mapping[str, Any]:
        return mapping(self.raw.get(id_))

    def content(self, id_: str) -> str | None:
        """Text of a file; None when it is not there or could not be read."""
        return text(self.get(id_).get("content"))

    def command(self, id_: str) -> Command | None:
        """None when it was not asked or not answered."""
        answer = self.get(id_)
        if not answer or "error" in answer:
            return None
        late = bool(answer.get("timed_out"))
        return Command(
            None if late else whole(answer.get("rc")),
            text(answer.get("stdout")) or "",
            text(answer.get("stderr")) or "",
            bool(answer.get("missing")),
            late,
        )

    def out(self, id_: str) -> str | None:
        """Standard output of a command that ended well."""
        command = self.command(id_)
        return command.out if command is not None and command.rc == 0 else None

    def matches(self, id_: str) -> list[Mapping[str, Any]] | None:
        """What a glob found; None when the glob itself was not answered."""
        answer = self.get(id_)
        found = answer.get("matches")
        if not isinstance(found, list):
            return None
        return [item for item in found if isinstance(item, Mapping) and isinstance(item.get("path"), str)]

    def unread(self) -> dict[str, str]:
        """Why each ask that has no answer has none, by its id."""
        found = {id_: reason for id_, answer in self.raw.items() if (reason := _reason(mapping(answer)))}
        return dict(sorted(found.items()))


def _reason(answer: Mapping[str, Any]) -> str:
    if isinstance(answer.get("error"), str):
        return str(answer["error"])
    if answer.get("timed_out"):
        return LATE
    denied = re.search(
        r"^.*(?:permission denied|not permitted|must be root|access denied).*$", _stderr_of(answer), DENIED
    )
    if denied:
        return denied[0].strip()[:200]
    parts = answer.get("unread")
    if isinstance(parts, Mapping) and parts:
        return "; ".join(f"{name}: {why}" for name, why in parts.items())
    rows = answer.get("matches")
    if isinstance(rows, list):
        return "; ".join(f"{r.get('path')}: {r['error']}" for r in rows if isinstance(r, Mapping) and r.get("error"))
    return ""


def _stderr_of(answer: Mapping[str, Any]) -> str:
    """What a command that failed had to say."""
    return (text(answer.get("stderr")) or "") if whole(answer.get("rc")) else ""


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def whole(value: object) -> int | None:
    """In 64 bits; a larger one is not known."""
    found: int | None = typed.whole(value)
    return found


def decimal(value: object) -> float | None:
    """A finite number, as JSON gives it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def number(value: str | None) -> int | None:
    """A whole number in decimal digits, as tools print it; None for anything else."""
    found: int | None = typed.digits((value or "").strip())
    return found


def as_json(value: str | None) -> Any:
    """A JSON document, or the last line that is one; None when there is none."""
    found = typed.document(value or "")
    return typed.document((value or "").strip().rpartition("\n")[2]) if found is None else found
