"""What a bundle of models holds, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.values import counted, human_bytes
from reaper_ops.formats.visible import field, one_line


class BundleRow(Protocol):
    @property
    def place(self) -> str: ...
    @property
    def lock(self) -> Lock: ...
    @property
    def bytes(self) -> int: ...


def as_text(made: BundleRow) -> str:
    width = max(len(names.short(one.name)) for one in made.lock.models)
    rows = [f"{names.short(one.name):{width}}  {one.digest[7:19]}  {human_bytes(one.size)}" for one in made.lock.models]
    total = f"{made.place}: {counted(len(rows), 'model')}, {human_bytes(made.bytes)}; every blob was checked"
    return "\n".join(map(one_line, [*rows, total]))


def as_json(made: BundleRow) -> str:
    rows = [{"name": one.name, "digest": one.digest, "bytes": one.size} for one in made.lock.models]
    return json.dumps({"bundle": made.place, "bytes": made.bytes, "models": rows}, indent=2)


def as_lines(made: BundleRow) -> str:
    return "\n".join(f"{field(one.name)} {field(one.digest)} {one.size}" for one in made.lock.models)


FORMATS: dict[str, Callable[[BundleRow], str]] = {"text": as_text, "json": as_json, "lines": as_lines}
