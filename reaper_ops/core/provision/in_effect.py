"""What a unit does in effect: each file that it is made of, in systemd's order, and who has the last word."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reaper_ops.core.facts.model import Facts, UnitFile

UNIT = "/etc/systemd/system/ollama.service"
DROPIN = f"{UNIT}.d/zz-reaper_ops.conf"
FORMER = f"{UNIT}.d/10-reaper_ops.conf"
"""Where the settings were once; other drop-ins sorted after it and won."""
MARKER = "Managed by reaper_ops; changes are overwritten"
_CONTINUED = re.compile(r"\\\n\s*")
_HIDDEN = "***"


@dataclass(frozen=True)
class Line:
    """One assignment of a unit's [Service]; of Environment= and of environment files one per variable.

    late: it takes effect after our drop-in.
    """

    key: str
    value: str
    path: str
    late: bool = False
    name: str = ""

    @property
    def shown(self) -> str:
        return f"{self.name}={self.value}" if self.name else f"{self.key}={self.value}"


@dataclass(frozen=True)
class Pins:
    """What our drop-in must say besides the variables, because another file says something else."""

    start: bool = False
    user: bool = False
    environment_files: bool = False
    unset: bool = False


def is_ours(file: UnitFile) -> bool:
    return file.path == DROPIN or MARKER in file.content


def foreign(facts: Facts) -> tuple[Line, ...]:
    """Lines of files that others wrote, in order; what an environment file holds stands where it is named."""
    held = {file.path: file.content for file in facts.unit_files if file.kind == "environment"}
    found: list[Line] = []
    for file in facts.unit_files:
        if file.kind == "environment" or is_ours(file):
            continue
        late = file.kind == "drop-in" and _base(file.path) > _base(DROPIN)
        for key, value in _assignments(file.content):
            found += _lines(key, value, file.path, late, held)
    return tuple(found)


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _lines(key: str, value: str, path: str, late: bool, held: Mapping[str, str]) -> Iterator[Line]:
    if key == "Environment":
        for word in _words(value):
            name, mark, given = word.partition("=")
            if mark:
                yield Line(key, given.replace("%%", "%"), path, late, name)
    elif key == "EnvironmentFile":
        for named in (word.lstrip("-") for word in _words(value)):
            for name, given in _variables(held.get(named, "")):
                yield Line(key, given, named, late, name)
    elif key in {"ExecStart", "User", "Group"} and value:
        yield Line(key, value, path, late)
    elif key == "UnsetEnvironment":
        for word in _words(value):
            yield Line(key, "", path, late, word.partition("=")[0])


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in _CONTINUED.sub(" ", text).splitlines():
        bare = line.strip()
        if bare.startswith("["):
            section = bare
        elif section == "[Service]" and not bare.startswith(("#", ";")):
            key, mark, value = bare.partition("=")
            if mark:
                yield key.strip(), value.strip()


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()


def _variables(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, mark, value = line.strip().partition("=")
        if mark and re.fullmatch(r"[A-Za-z_]\w*", name):
            yield name, " ".join(_words(value))


def environment(facts: Facts) -> dict[str, str]:
    """The variables as all files set them; of one name the last counts, and environment files beat the unit."""
    held = {file.path: file.content for file in facts.unit_files if file.kind == "environment"}
    plain: dict[str, str] = {}
    read: dict[str, str] = {}
    for file in facts.unit_files:
        for key, value in _assignments(file.content) if file.kind != "environment" else ():
            if not value and key in {"Environment", "EnvironmentFile"}:
                (plain if key == "Environment" else read).clear()
            for line in _lines(key, value, file.path, False, held):
                if line.key in {"Environment", "EnvironmentFile"}:
                    (plain if line.key == "Environment" else read)[line.name] = line.value
    return {**plain, **read}


def contrary(lines: Sequence[Line], desired: Mapping[str, str], start: str, user: str) -> tuple[Line, ...]:
    """Lines that say something else than is desired. start is the command, empty where it does not matter."""
    return tuple(line for line in lines if _contrary(line, desired, start, user))


def _contrary(line: Line, desired: Mapping[str, str], start: str, user: str) -> bool:
    if line.key in {"Environment", "EnvironmentFile"}:
        return line.name in desired and desired[line.name] != line.value and _HIDDEN not in line.value
    if line.key == "UnsetEnvironment":
        return line.name in desired
    if line.key == "ExecStart":
        return bool(start) and line.value != start
    return bool(user) and line.key == "User" and line.value != user


def pins(lines: Sequence[Line], *, adopted: bool) -> Pins:
    """lines: the contrary ones. A unit that is taken over has its command replaced in any case, and keeps its user."""
    keys = {line.key for line in lines if not line.late}
    return Pins(
        start="ExecStart" in keys and not adopted,
        user="User" in keys and not adopted,
        environment_files="EnvironmentFile" in keys,
        unset="UnsetEnvironment" in keys,
    )
