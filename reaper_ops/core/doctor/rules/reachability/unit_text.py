"""The unit's files as `systemctl cat` prints them: which file sets what, and what systemd does not accept."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import lru_cache

CURLY = re.compile("[\u201c\u201d\u2018\u2019]")
_FILE = re.compile(r"^# (/\S+)$")
_SECTION = re.compile(r"^\[([^\]]+)\]\s*$")


@dataclass(frozen=True)
class UnitLine:
    """One `Environment=` or `EnvironmentFile=` line. section is empty before the first header."""

    path: str
    section: str
    key: str
    value: str


@lru_cache(maxsize=64)
def lines(text: str | None) -> tuple[UnitLine, ...]:
    found: list[UnitLine] = []
    path = section = ""
    for row in (text or "").replace("\\\n", " ").splitlines():
        if named := _FILE.match(row):
            path, section = named[1], ""
        elif header := _SECTION.match(row.strip()):
            section = header[1]
        elif not row.lstrip().startswith(("#", ";")):
            key, mark, value = row.partition("=")
            if mark and key.strip() in {"Environment", "EnvironmentFile"}:
                found.append(UnitLine(path, section, key.strip(), value.strip()))
    return tuple(found)


@lru_cache(maxsize=1024)
def words(value: str) -> tuple[str, ...] | None:
    """What systemd splits the right side into; None where its quotes do not match."""
    try:
        return tuple(word.replace("%%", "%") for word in shlex.split(value))
    except ValueError:
        return None


def environment(text: str | None) -> dict[str, str] | None:
    """What the unit gives to the server; None where files that were not read may set something else."""
    found: dict[str, str] = {}
    for line in lines(text):
        if line.section != "Service":
            continue
        if line.key == "EnvironmentFile":
            return None
        if not line.value:
            found.clear()
        for word in words(line.value) or ():
            name, mark, value = word.partition("=")
            if mark:
                found[name] = value
    return found


def ignored(text: str | None) -> tuple[UnitLine, str] | None:
    """The first line that does not do what it appears to do, and why."""
    for line in lines(text):
        if line.section != "Service":
            where = f"[{line.section}]" if line.section else "no section"
            return line, f"is in {where}, but Environment= belongs in [Service]"
        if line.key != "Environment":
            continue
        if CURLY.search(line.value):
            return line, "has curly quotes, which become part of the value"
        parts = words(line.value)
        if parts is None:
            return line, "has a quote that is not closed"
        if loose := next((word for word in parts if "=" not in word), None):
            return line, f"is split at a space: {loose!r} is not an assignment; put the whole assignment in quotes"
    return None


def main(text: str | None) -> str:
    """The main unit's own text, without its drop-ins."""
    found: list[str] = []
    for row in (text or "").splitlines():
        named = _FILE.match(row)
        if named and found and not named[1].endswith("/ollama.service"):
            break
        found.append(row)
    return "\n".join(found)
