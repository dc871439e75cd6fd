"""Bundles of evidence on disk: one archive, or a directory. What is read is not trusted.

Nothing of an archive is ever unpacked: its members are read into memory within bounds, and only regular files.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import reaper_ops
from reaper_ops.adapters import tree
from reaper_ops.core.doctor import bundle
from reaper_ops.core.doctor.bundle import SavedHost
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.errors import CommandError, ReaperError

ENDINGS = (".tar.gz", ".tgz")
MAX_FILE = 8 << 20
MAX_TOTAL = 1 << 30
MAX_MEMBERS = 200_000
MAX_DEPTH = 5
DOCUMENTED = "docs/bundles.md says what a bundle holds"
UNKNOWN = Settings.model_validate({})
BROKEN = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, RecursionError, struct.error, OverflowError)


def write(path: str | Path, hosts: Iterable[SavedHost]) -> None:
    """One archive where the name ends in .tar.gz or .tgz, else a directory. Only the user may read it."""
    target, saved = Path(path), list(hosts)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found = {bundle.HEAD: bundle.headed(reaper_ops.__version__, now, [one.host for one in saved])}
    for one in saved:
        found |= {f"{bundle.folder(one.host)}/{name}": text for name, text in bundle.files(one).items()}
    if target.name.endswith(ENDINGS):
        _pack(target, found)
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ReaperError(str(target), "already exists", "name another directory, or a file that ends in .tar.gz")
    for name, text in found.items():
        tree.write(str(target), name, text, "0600")


def _pack(target: Path, files: Mapping[str, str]) -> None:
    """Beside the target first, so that a half written archive never has its name."""
    top = next(target.name.removesuffix(end) for end in ENDINGS if target.name.endswith(end))
    part = target.with_name(f".{target.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as archive:
            for name, text in files.items():
                data = text.encode("utf-8", "replace")
                member = tarfile.TarInfo(f"{top}/{name}")
                member.size, member.mode = len(data), 0o600
                member.mtime = int(datetime.now(UTC).timestamp())
                archive.addfile(member, io.BytesIO(data))
        part.replace(target)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise CommandError(str(target), f"cannot be written: {exc.strerror}", "name another file") from None


@dataclass
class _Found:
    """What an archive or a directory holds: texts by path, why others were not read, and whether it ended early."""

    texts: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    cut: str = ""


def read(path: str | Path) -> tuple[SavedHost, ...]:
    """Every host of an archive or a directory. One that cannot be read has a problem, and the others are read."""
    source = Path(path)
    try:
        kind = source.stat().st_mode
    except OSError as exc:
        raise ReaperError(str(source), f"cannot be read: {exc.strerror}", "name a bundle or its directory") from None
    name = _plain_name(source)
    if stat.S_ISDIR(kind):
        return _hosts(source, name, _directory(source))
    if not stat.S_ISREG(kind):
        raise ReaperError(str(source), "is neither a file nor a directory", DOCUMENTED)
    if _is_archive(source):
        return _hosts(source, name, _archive(source))
    known = source.name in bundle.FILES
    found = _Found({source.name: _text(_one_file(source), source, known=known)})
    return _hosts(source, _plain_name(source.parent) if known else bundle.printable(source.stem), found)


def pasted(text: str) -> tuple[SavedHost, ...]:
    """What came through a pipe or from a terminal."""
    return (bundle.read("pasted", {"paste": text[:MAX_FILE]}, by_hand=True),)


def _is_archive(source: Path) -> bool:
    with source.open("rb") as raw:
        start = raw.read(512)
    return source.name.endswith((*ENDINGS, ".tar")) or start[:2] == b"\x1f\x8b" or start[257:262] == b"ustar"


def _text(raw: bytes, place: Path, *, known: bool = False) -> str:
    """What has no text in it is refused: a picture of a terminal cannot be read."""
    text = decoded(raw)
    start = text[:4096]
    if not known and start.count("\ufffd") + start.count("\0") > len(start) // 10:
        raise ReaperError(str(place), "is not text", "paste the text itself; a picture or a program cannot be read")
    return text


def _plain_name(path: Path) -> str:
    name = path.resolve().name
    return next((name.removesuffix(end) for end in (*ENDINGS, ".tar") if name.endswith(end)), name) or "host"


def _hosts(source: Path, name: str, found: _Found) -> tuple[SavedHost, ...]:
    heads = sorted((path for path in found.texts if PurePosixPath(path).name == bundle.HEAD), key=len)
    head = bundle.head(found.texts[heads[0]], f"{source}/{heads[0]}") if heads else None
    groups = bundle.grouped([*found.texts, *found.refused], by_hand=head is None)
    if not groups and (found.cut or not heads):
        problem = f"ends early ({found.cut}); nothing of it can be read" if found.cut else "holds no evidence"
        raise ReaperError(str(source), problem, DOCUMENTED)
    last = next(reversed(found.texts), "")
    hosts = [_host(folder, name, parts, found, by_hand=head is None) for folder, parts in groups.items()]
    if found.cut:
        cut = f"{source.name} ends early ({found.cut}); some of its evidence is missing"
        owner = bundle.place(last)
        ending = (bundle.host_of(PurePosixPath(owner[0]).name) or name) if owner else ""
        hosts = [replace(one, problem=one.problem or cut) if one.host == ending else one for one in hosts]
    order = {name: place for place, name in enumerate(_listed(head))}
    every = [*hosts, *_missing(source, head, hosts)]
    return tuple(sorted(every, key=lambda one: (order.get(one.host, len(order)), one.host)))


def _listed(head: Mapping[str, object] | None) -> list[str]:
    """Hosts that the head names, in its order."""
    listed = head.get("hosts") if head else None
    return [bundle.printable(name) for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _missing(source: Path, head: Mapping[str, object] | None, hosts: Sequence[SavedHost]) -> Iterator[SavedHost]:
    """Hosts that the head names and the rest does not hold."""
    known = {one.host for one in hosts}
    for name in _listed(head):
        if name not in known:
            yield SavedHost(name, UNKNOWN, problem=f"{source.name} ends before this host")


def _host(folder: str, name: str, parts: Mapping[str, str], found: _Found, *, by_hand: bool) -> SavedHost:
    host = bundle.host_of(PurePosixPath(folder).name) or bundle.printable(name)
    texts = {part: found.texts[path] for part, path in parts.items() if path in found.texts}
    refused = {part: found.refused[path] for part, path in parts.items() if path in found.refused}
    try:
        return bundle.read(host, texts, refused, by_hand=by_hand)
    except ReaperError as problem:
        return SavedHost(host, UNKNOWN, problem=str(problem))


def _directory(source: Path) -> _Found:
    """Regular files below, as far as they belong to a bundle; links are not followed."""
    found, total = _Found(), 0
    todo = [(source, "", 0)]
    while todo:
        directory, prefix, depth = todo.pop()
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as exc:
            raise ReaperError(str(directory), f"cannot be read: {exc.strerror}", DOCUMENTED) from None
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
                todo.append((Path(entry.path), f"{path}/", depth + 1))
            else:
                total += _take(found, path, Path(entry.path))
                _check(source, total, len(found.texts))
    return found


def _take(found: _Found, path: str, place: Path) -> int:
    try:
        raw = _one_file(place)
        found.texts[path] = _text(raw, place, known=bundle.place(path) is not None)
    except ReaperError as refused:
        found.refused[path] = refused.problem
        return 0
    return len(raw)


def _one_file(place: Path) -> bytes:
    """Of a regular file alone: neither a link nor a pipe is opened."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as handle:
            if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
                raise ReaperError(str(place), "is not a regular file")
            raw = handle.read(MAX_FILE + 1)
    except OSError as exc:
        link = place.is_symlink()
        raise ReaperError(str(place), "is a link" if link else f"cannot be read: {exc.strerror}") from None
    if len(raw) > MAX_FILE:
        raise ReaperError(str(place), f"is larger than {MAX_FILE >> 20} MiB")
    return raw


def _check(source: Path, total: int, members: int) -> None:
    if total > MAX_TOTAL or members > MAX_MEMBERS:
        what = f"{MAX_TOTAL >> 20} MiB" if total > MAX_TOTAL else f"{MAX_MEMBERS} files"
        raise ReaperError(str(source), f"holds more than {what}, which no bundle does", DOCUMENTED)


def decoded(raw: bytes) -> str:
    """What was pasted on Windows comes as UTF-16; bytes that are no text become marks of replacement."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    return raw.decode("utf-8", "replace")


class _Bounded:
    """A stream that ends a bomb: neither one read nor all of them may pass their bound."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, place: Path) -> None:
        self.stream, self.place = stream, place

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > MAX_FILE:
            raise tarfile.ReadError("a header of it is too large")
        self._reached(self.stream.tell() + size)
        return self.stream.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        self._reached(position)
        return self.stream.seek(position, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def _reached(self, position: int) -> None:
        if position > 2 * MAX_TOTAL:
            _check(self.place, position, 0)


def _archive(source: Path) -> _Found:
    found, total = _Found(), 0
    with source.open("rb") as raw:
        start = raw.read(512)
        raw.seek(0)
        if start[:2] != b"\x1f\x8b" and start[257:262] != b"ustar":
            raise ReaperError(str(source), "is neither a bundle (.tar.gz) nor a directory", DOCUMENTED)
        stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if start[:2] == b"\x1f\x8b" else raw
        try:
            bounded = cast(BinaryIO, _Bounded(stream, source))
            with tarfile.open(fileobj=bounded, mode="r:") as archive:
                for number, member in enumerate(archive, 1):
                    total += member.size
                    _check(source, total, number)
                    _member(source, found, archive, member)
        except BROKEN as exc:
            found.cut = str(exc) or type(exc).__name__
    return found


def _member(source: Path, found: _Found, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    name = member.name.removeprefix("./")
    if name.startswith("/") or ".." in name.split("/") or "\\" in name:
        raise ReaperError(f"{source}/{bundle.printable(name)}", "leads out of the bundle", "do not trust this file")
    if member.isdir():
        return
    if not member.isreg():
        found.refused[name] = "is not a regular file"
    elif member.size > MAX_FILE:
        found.refused[name] = f"is larger than {MAX_FILE >> 20} MiB"
    else:
        handle = archive.extractfile(member)
        found.texts[name] = decoded(handle.read() if handle else b"")
