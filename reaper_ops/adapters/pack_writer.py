"""Writes bundles: every blob straight to its place, so that a stopped run goes on where it was."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock as Mutex
from typing import Protocol

from reaper_ops.core.models import pack
from reaper_ops.core.models.lock import Lock
from reaper_ops.core.values import human_bytes
from reaper_ops.errors import CommandError, ReaperError

SPARE = 16 << 20
OWN = "name a directory of its own"
HINTS = {
    errno.ENOSPC: "free space there, or name another place; what was fetched is kept",
    errno.EFBIG: "this file system takes no such large file (FAT32 ends at 4 GB): use exFAT or ext4",
    errno.EINVAL: "this file system does not take such a name: write the bundle as a .tar",
}


@dataclass(frozen=True)
class Slot:
    """Where a blob goes; `start` bytes of it are there from an earlier run, and were not checked."""

    path: Path
    offset: int
    size: int
    start: int


class Writer(Protocol):
    def slot(self, digest: str, size: int) -> Slot | None: ...
    def note(self, digest: str, count: int) -> None: ...
    def done(self, digest: str) -> None: ...
    def finish(self) -> None: ...


@contextmanager
def on_disk(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = HINTS.get(error.errno or 0, "check the place and its rights")
        raise CommandError(str(error.filename or place), f"cannot be written ({error.strerror})", hint) from None


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """One program at a time has the directory; the lock goes with its process, however that ends."""
    with on_disk(place):
        place.mkdir(parents=True, exist_ok=True)
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            step = "wait for its end, or push to all hosts by one command"
            raise ReaperError(str(place), "another push of the same models runs here", step) from None
        yield
    finally:
        os.close(directory)


def writer(place: Path, lock: Lock, manifests: Mapping[str, bytes], at: str) -> Writer:
    """A tar where the name says so, else a directory."""
    kind = PackArchive if place.suffix == ".tar" else Directory
    if place.suffix in {".zst", ".gz", ".xz", ".tgz"}:
        raise ReaperError(str(place), "is a compressed archive", "name a .tar or a directory: models do not compress")
    with on_disk(place):
        return kind(place, lock, manifests, at)


def _room(place: Path, need: int) -> None:
    space = os.statvfs(place)
    free = space.f_bavail * space.f_frsize
    if need + SPARE > free:
        problem = f"has {human_bytes(free)} free, the bundle needs {human_bytes(need)} more"
        raise ReaperError(str(place), problem, HINTS[errno.ENOSPC])


class Directory:
    def __init__(self, place: Path, lock: Lock, manifests: Mapping[str, bytes], at: str) -> None:
        self.place, self.texts = place, pack.texts(lock, manifests, at)
        self.wanted = {digest: size for one in lock.models for digest, size in one.blobs.items()}
        self._make_way()
        _room(place, sum(size - self._have(digest, size) for digest, size in self.wanted.items()))

    def _make_way(self) -> None:
        """The index goes first, so that what is half changed never looks whole. Foreign files are not touched."""
        there = [str(path.relative_to(self.place)) for path in self.place.rglob("*") if not path.is_dir()]
        self._refuse_foreign(there)
        (self.place / "blobs").mkdir(parents=True, exist_ok=True)
        self._unfinished.touch()
        (self.place / pack.INDEX).unlink(missing_ok=True)
        named = {*self.texts, *(pack.blob_member(digest) for digest in self.wanted)}
        for member in there:
            if member.removesuffix(pack.UNFINISHED) not in named:
                (self.place / member).unlink()

    @property
    def _unfinished(self) -> Path:
        """Says, until the bundle is whole, that what lies here is ours to change."""
        return self.place / (pack.INDEX + pack.UNFINISHED)

    def _refuse_foreign(self, there: list[str]) -> None:
        """The store of a server holds nothing but blobs and manifests too; an index makes them a bundle."""
        for member in there:
            if not pack.is_member(member.removesuffix(pack.UNFINISHED)):
                raise ReaperError(f"{self.place}/{member}", "belongs to no bundle", OWN)
        if there and not {pack.INDEX, self._unfinished.name} & set(there):
            raise ReaperError(str(self.place), "holds models, but is no bundle; a server's store perhaps", OWN)

    def _path(self, digest: str) -> Path:
        return self.place / pack.blob_member(digest)

    def _part(self, digest: str) -> Path:
        path = self._path(digest)
        return path.with_name(path.name + pack.UNFINISHED)

    def _have(self, digest: str, size: int) -> int:
        path, part = self._path(digest), self._part(digest)
        if path.is_file() and path.stat().st_size == size:
            return size
        return min(part.stat().st_size, size) if part.is_file() else 0

    def slot(self, digest: str, size: int) -> Slot | None:
        if self._path(digest).is_file() and self._have(digest, size) == size:
            return None
        part = self._part(digest)
        part.touch()
        return Slot(part, 0, size, self._have(digest, size))

    def note(self, digest: str, count: int) -> None:
        """The length of the file says it; only what is wrong from its start is cut off."""
        if count == 0:
            os.truncate(self._part(digest), 0)

    def done(self, digest: str) -> None:
        self._part(digest).replace(self._path(digest))

    def finish(self) -> None:
        for member, data in self.texts.items():
            path = self.place / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        os.sync()
        self._unfinished.unlink()


class PackArchive:
    """One file of known layout. Notes beside it say how far each blob is."""

    def __init__(self, place: Path, lock: Lock, manifests: Mapping[str, bytes], at: str) -> None:
        self.place = place
        self.part = place.with_name(place.name + pack.UNFINISHED)
        self.notes = place.with_name(place.name + pack.UNFINISHED + ".json")
        self._mutex = Mutex()
        self.texts = pack.texts(lock, manifests, at)
        layout = [[member, len(data)] for member, data in self.texts.items()]
        plan = json.dumps([layout, sorted((one.name, one.digest) for one in lock.models)])
        before = self._noted()
        same = before.get("plan") == plan and self.part.is_file()
        self.known = before if same else {"plan": plan, "blobs": {}}
        self.blobs = {digest: size for one in lock.models for digest, size in sorted(one.blobs.items())}
        self.offsets: dict[str, int] = {}
        self._lay_out(fresh=not same)

    def _noted(self) -> dict[str, object]:
        try:
            found = json.loads(self.notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) and isinstance(found.get("blobs"), dict) else {}

    @property
    def counts(self) -> dict[str, int]:
        found: dict[str, int] = self.known["blobs"]  # type: ignore[assignment]
        return found

    def _lay_out(self, *, fresh: bool) -> None:
        """Headers and small members at once, room for each blob between them."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            self.part.unlink(missing_ok=True)
        have = self.part.stat().st_blocks * 512 if self.part.exists() else 0
        _room(self.place.parent, max(0, sum(self.blobs.values()) - have))
        with self.part.open("wb" if fresh else "r+b") as file:
            for member, data in self.texts.items():
                file.write(_header(member, len(data)) + data + bytes(-len(data) % tarfile.BLOCKSIZE))
            for digest, size in self.blobs.items():
                file.write(_header(pack.blob_member(digest), size))
                self.offsets[digest] = file.tell()
                file.seek(size + -size % tarfile.BLOCKSIZE, os.SEEK_CUR)
            end = file.tell() + 2 * tarfile.BLOCKSIZE
            file.truncate(end)
        self._keep()

    def _keep(self) -> None:
        temporary = self.notes.with_name(self.notes.name + ".new")
        temporary.write_text(json.dumps(self.known), encoding="utf-8")
        temporary.replace(self.notes)

    def slot(self, digest: str, size: int) -> Slot | None:
        start = self.counts.get(digest, 0)
        return None if start < 0 else Slot(self.part, self.offsets[digest], size, min(start, size))

    def note(self, digest: str, count: int) -> None:
        with self._mutex:
            self.counts[digest] = count
            self._keep()

    def done(self, digest: str) -> None:
        self.note(digest, -1)

    def finish(self) -> None:
        os.sync()
        self.part.replace(self.place)
        self.notes.unlink()


def _header(member: str, size: int) -> bytes:
    info = tarfile.TarInfo(member)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)
