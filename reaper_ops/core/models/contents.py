"""What hashing the model stores again found, judged by the lock and the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from reaper_ops.core.facts.answers import decimal, whole
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.models.pull_steps import is_lease
from reaper_ops.errors import ExitCode

State = Literal["ok", "unlocked", "drift", "damaged", "absent"]
DAMAGED = frozenset({"damaged", "short"})
REPAIR = "`reaper-ops models verify --repair` fetches it again"
PULL = "`reaper-ops models pull` brings what is locked"


@dataclass(frozen=True)
class BlobResult:
    """A blob that is not what its name says, or that no manifest names. state: ok, damaged, short, missing, …"""

    digest: str
    state: str
    problem: str = ""
    bytes: int = 0

    @property
    def file(self) -> str:
        return self.digest.replace(":", "-")


@dataclass(frozen=True)
class Checked:
    """One model on one host. count: blobs that it has; blobs: those that are not well. migrated: it is the locked one,
    which the server has rewritten since."""

    host: str
    name: str
    state: State
    digest: str = ""
    count: int = 0
    blobs: tuple[BlobResult, ...] = ()
    problem: str = ""
    next_step: str = ""
    migrated: bool = False


@dataclass(frozen=True)
class CheckedStore:
    """One host. bytes were read in `seconds`; unfinished: downloads that are under way or were given up."""

    host: str
    path: str
    models: tuple[Checked, ...]
    unnamed: tuple[BlobResult, ...] = ()
    unfinished: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def damaged(self) -> tuple[str, ...]:
        """Names of files whose bytes are wrong; each once."""
        every = [blob for one in self.models for blob in one.blobs] + list(self.unnamed)
        return tuple(dict.fromkeys(blob.file for blob in every if blob.state in DAMAGED))

    @property
    def to_repair(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.models if one.state == "damaged")


@dataclass(frozen=True)
class Verified:
    stores: tuple[CheckedStore, ...]
    problems: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        bad = any(one.state not in {"ok", "unlocked"} for store in self.stores for one in store.models)
        return ExitCode.worst(errors=bad or self.problems or any(store.damaged for store in self.stores))


def judge(host: str, told: Mapping[str, Any], wanted: Iterable[str], lock: Lock) -> CheckedStore:
    """`told`: the answer of the module; `wanted`: names that the host shall have, of those that were asked for."""
    rows = [_checked(host, row, lock) for row in told["models"] if not is_lease(names.short(str(row["name"])))]
    there = {names.key(one.name) for one in rows}
    absent = [
        Checked(host, names.canonical(name), "absent", problem="is not in the store", next_step=PULL)
        for name in wanted
        if names.key(name) not in there
    ]
    others = tuple(_blob(row) for row in told.get("unnamed") or ())
    numbers = whole(told.get("unfinished")) or 0, whole(told.get("bytes")) or 0, decimal(told.get("seconds")) or 0.0
    return CheckedStore(host, str(told.get("store", "")), (*rows, *absent), others, *numbers)


def repaired(before: CheckedStore, after: CheckedStore | None) -> CheckedStore:
    """A store after its repair; `after` is what the repaired models were found to be."""
    fresh = {names.key(one.name): one for one in after.models} if after else {}
    models = tuple(fresh.get(names.key(one.name), one) for one in before.models)
    kept = tuple(blob for blob in before.unnamed if blob.state not in DAMAGED)
    more = after.bytes if after else 0
    return replace(before, models=models, unnamed=kept, bytes=before.bytes + more)


def _checked(host: str, row: Mapping[str, Any], lock: Lock) -> Checked:
    name, digest, count = str(row["name"]), str(row["digest"]), whole(row["count"]) or 0
    blobs = tuple(_blob(one) for one in row["blobs"])
    error = str(row.get("error") or "")
    locked = lock.get(name)
    if error:
        return Checked(host, name, "damaged", digest, count, blobs, error, REPAIR)
    if locked is None:
        return Checked(host, name, "unlocked", digest, count)
    migrated = locked.digest in (row.get("known_as") or ())
    if locked.digest.removeprefix("sha256:") != digest and not migrated:
        problem = f"its manifest is {digest[:12]}, the lock has {locked.digest.removeprefix('sha256:')[:12]}"
        return Checked(host, name, "drift", digest, count, (), problem, PULL)
    return Checked(host, name, "ok", digest, count, migrated=migrated)


def _blob(row: Mapping[str, Any]) -> BlobResult:
    return BlobResult(
        str(row["digest"]), str(row["state"]), str(row.get("problem") or ""), whole(row.get("bytes")) or 0
    )
