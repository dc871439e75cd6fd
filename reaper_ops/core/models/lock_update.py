"""What `lock` and `update` make of the lock that is there and what the registries say now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Lock, Locked

Kind = Literal["added", "kept", "moved", "updated", "removed", "failed"]
LOUD = frozenset({"added", "moved", "updated", "removed", "failed"})


@dataclass(frozen=True)
class LockChange:
    """moved: the tag is another manifest now, and the lock stays; updated: the lock follows."""

    name: str
    kind: Kind
    before: Locked | None = None
    after: Locked | None = None
    problem: str = ""

    @property
    def fresh_bytes(self) -> int:
        """Bytes of the new version that the old one does not hold."""
        if self.after is None:
            return 0
        old = self.before.blobs if self.before else {}
        return sum(size for digest, size in self.after.blobs.items() if digest not in old)


@dataclass(frozen=True)
class Locking:
    lock: Lock
    changes: tuple[LockChange, ...]

    @property
    def failed(self) -> bool:
        return any(change.kind == "failed" for change in self.changes)

    @property
    def moved(self) -> tuple[str, ...]:
        return tuple(change.name for change in self.changes if change.kind == "moved")


def merge(
    before: Lock,
    wanted: Iterable[str],
    found: Mapping[str, Locked],
    problems: Mapping[str, str],
    move: frozenset[str],
) -> Locking:
    """`found` and `problems` are by whole name; `move` holds the keys of names whose lock follows its tag.

    What cannot be asked keeps its entry, and what nobody wants any more leaves the lock.
    """
    wanted = tuple(wanted)
    changes = [_change(name, before.get(name), found.get(name), problems.get(name, ""), move) for name in wanted]
    keys = {names.key(name) for name in wanted}
    changes += [LockChange(one.name, "removed", one) for one in before.models if names.key(one.name) not in keys]
    return Locking(Lock(tuple(kept for change in changes if (kept := _kept(change)))), tuple(changes))


def _change(name: str, before: Locked | None, now: Locked | None, problem: str, move: frozenset[str]) -> LockChange:
    if now is None:
        return LockChange(name, "failed", before, problem=problem)
    if before is None:
        return LockChange(name, "added", after=now)
    if before.digest == now.digest:
        return LockChange(name, "kept", before, before)
    return LockChange(name, "updated" if names.key(name) in move else "moved", before, now)


def _kept(change: LockChange) -> Locked | None:
    if change.kind in {"added", "updated"}:
        return change.after
    return None if change.kind == "removed" else change.before
