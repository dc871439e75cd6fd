"""Model by host: as locked, drifted, missing, or more than was wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.model_inventory import Holding
from reaper_ops.errors import ExitCode

State = Literal["ok", "unlocked", "drift", "missing", "extra", "unknown"]
BAD = frozenset({"drift", "missing"})


@dataclass(frozen=True)
class Cell:
    """ours: an extra model that we once pulled and `prune` would remove. migrated: it is the locked one, and the server
    has rewritten it since, so that it lists another digest."""

    state: State
    digest: str = ""
    size: int = 0
    loaded: bool = False
    ours: bool = False
    migrated: bool = False


@dataclass(frozen=True)
class TableLine:
    """One model; digest and size are those of the lock, else those that a host has."""

    name: str
    digest: str
    size: int
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    hosts: tuple[str, ...]
    lines: tuple[TableLine, ...]
    problems: Mapping[str, str]

    @property
    def exit_code(self) -> ExitCode:
        bad = any(cell.state in BAD for line in self.lines for cell in line.cells.values())
        return ExitCode.worst(errors=bad or self.problems)


def table(holdings: Iterable[Holding], lock: Lock, problems: Mapping[str, str]) -> Table:
    """problems: hosts that could not be read."""
    held = tuple(holdings)
    every: dict[str, str] = {}
    for one in held:
        for name in (*one.settings.models(), *(model.name for model in one.models or ())):
            every.setdefault(names.key(name), names.canonical(name))
    silent = {one.host: one.problem for one in held if one.problem}
    lines = tuple(_line(name, held, lock) for _, name in sorted(every.items()))
    return Table(tuple(one.host for one in held), lines, {**problems, **silent})


def _line(name: str, held: tuple[Holding, ...], lock: Lock) -> TableLine:
    cells = {one.host: cell for one in held if (cell := _cell(name, one, lock)) is not None}
    locked = lock.get(name)
    if locked:
        return TableLine(name, locked.digest.removeprefix("sha256:"), locked.size, cells)
    shown = next((cell for cell in cells.values() if cell.digest), Cell("unknown"))
    return TableLine(name, shown.digest, shown.size, cells)


def _cell(name: str, one: Holding, lock: Lock) -> Cell | None:
    key, there, locked = names.key(name), one.get(name), lock.get(name)
    wanted = key in one.wanted_keys
    if one.models is None:
        return Cell("unknown") if wanted else None
    if there is None:
        return Cell("missing") if wanted else None
    loaded, ours = key in one.loaded_keys, key in one.our_keys
    if not wanted:
        state: State = "extra"
    elif locked is None:
        state = "unlocked"
    else:
        state = "ok" if there.has_digest(locked.digest) else "drift"
    migrated = wanted and locked is not None and there.was_migrated_from(locked.digest)
    return Cell(state, there.digest, there.size, loaded, ours, migrated)
