"""The one door to bundles of models: a directory or a tar, read as what strangers wrote."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from reaper_ops.core.models import pack
from reaper_ops.core.models.pack import AGAIN, Contents
from reaper_ops.errors import ReaperError

BLOCK = 512
PIECE = 1 << 20
LONGEST_EXTENSION = 1 << 16
PLAIN = "is not a regular file; a bundle has no links and, as a tar, no extensions (`tar --format=gnu`)"
Tell = Callable[[str, int], None]


@dataclass(frozen=True)
class Piece:
    """Where the bytes of a member are."""

    path: str
    offset: int
    size: int


@dataclass(frozen=True)
class Bundle:
    place: str
    contents: Contents
    pieces: Mapping[str, Piece]

    def blob(self, digest: str) -> Piece:
        return self.pieces[pack.blob_member(digest)]


def read(place: Path) -> Bundle:
    """Everything fits together but for the bytes of blobs, which `verify` reads."""
    try:
        pieces = dict(_directory(place) if place.is_dir() else _archive(place))
        texts = {member: piece for member, piece in pieces.items() if pack.is_small(member)}
        if sum(piece.size for piece in texts.values()) > pack.MOST_TEXT:
            raise ReaperError(str(place), f"has more than {pack.MOST_TEXT >> 20} MiB of lock and manifests", AGAIN)
        small = {member: _whole(place, member, piece) for member, piece in texts.items()}
    except OSError as error:
        at = str(error.filename or place)
        raise ReaperError(at, f"cannot be read ({error.strerror})", "check the path and the disk") from None
    sizes = {member: piece.size for member, piece in pieces.items()}
    return Bundle(str(place), pack.check(str(place), sizes, small), pieces)


def verify(bundle: Bundle, tell: Tell) -> None:
    """Hashes every blob; `tell` gets each digest and how many of its bytes were read."""
    for member, piece in sorted(bundle.pieces.items()):
        if pack.is_small(member):
            continue
        digest = member.removeprefix("blobs/").replace("-", ":", 1)
        found = hashlib.sha256()
        try:
            for part in parts(piece):
                found.update(part)
                tell(digest, len(part))
        except OSError as error:
            raise ReaperError(f"{bundle.place}/{member}", f"cannot be read ({error.strerror})", AGAIN) from None
        if f"sha256:{found.hexdigest()}" != digest:
            problem = f"is damaged: its bytes hash to {found.hexdigest()[:12]}"
            raise ReaperError(f"{bundle.place}/{member}", problem, AGAIN)


def parts(piece: Piece) -> Iterator[bytes]:
    """The bytes of a member; a file that became shorter is an error."""
    with open_plain(piece.path) as file:
        file.seek(piece.offset)
        left = piece.size
        while left:
            part = file.read(min(PIECE, left))
            if not part:
                raise OSError(5, "it became shorter", piece.path)
            left -= len(part)
            yield part


def open_plain(path: str) -> BinaryIO:
    """Follows no link at the end of the path."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _whole(place: Path, member: str, piece: Piece) -> bytes:
    if piece.size > pack.LARGEST_TEXT:
        raise ReaperError(f"{place}/{member}", f"has {piece.size} bytes, too many for what it is", AGAIN)
    return b"".join(parts(piece))


def _taken(place: Path, member: str, found: Mapping[str, Piece]) -> None:
    if member.endswith(pack.UNFINISHED):
        raise ReaperError(f"{place}/{member}", "is unfinished", "run `reaper-ops models bundle create` again")
    if not pack.is_member(member):
        raise ReaperError(f"{place}/{member[:200]!r}", "belongs to no bundle", "take it out, or name the bundle itself")
    if member in found:
        raise ReaperError(f"{place}/{member}", "is there twice", AGAIN)
    if len(found) >= pack.MOST_MEMBERS:
        raise ReaperError(str(place), f"has more than {pack.MOST_MEMBERS} members", AGAIN)


def _directory(place: Path) -> dict[str, Piece]:
    found: dict[str, Piece] = {}
    for directory, below, files in os.walk(place):
        for name in (*below, *files):
            path = Path(directory) / name
            info = path.lstat()
            if stat.S_ISDIR(info.st_mode):
                continue
            member = str(path.relative_to(place))
            if not stat.S_ISREG(info.st_mode):
                raise ReaperError(f"{place}/{member!r}", PLAIN, AGAIN)
            _taken(place, member, found)
            found[member] = Piece(str(path), 0, info.st_size)
    return found


def _archive(place: Path) -> dict[str, Piece]:
    found: dict[str, Piece] = {}
    with place.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for info, offset in _headers(place, file, size):
            member = info.name.removeprefix("./").rstrip("/")
            if info.type == tarfile.DIRTYPE:
                continue
            if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
                raise ReaperError(f"{place}/{member[:200]!r}", PLAIN, AGAIN)
            _taken(place, member, found)
            found[member] = Piece(str(place), offset, info.size)
    return found


def _headers(place: Path, file: BinaryIO, size: int) -> Iterator[tuple[tarfile.TarInfo, int]]:
    """Members and where their bytes begin. Extensions are read by us, since their length is a stranger's too."""
    position, name = 0, None
    while position < size:
        info = _header(place, file, position)
        if info is None:
            return
        start = position + BLOCK
        position = start + -(-info.size // BLOCK) * BLOCK
        if info.size < 0 or start + info.size > size:
            raise ReaperError(str(place), f"is cut off: {info.name[:200]!r} has fewer bytes than it says", AGAIN)
        if info.type == tarfile.GNUTYPE_LONGNAME:
            name = _long_name(place, file, start, info.size)
            continue
        info.name, name = name or info.name, None
        yield info, start


def _header(place: Path, file: BinaryIO, position: int) -> tarfile.TarInfo | None:
    """None at the end of the archive."""
    file.seek(position)
    block = file.read(BLOCK)
    if block == bytes(BLOCK):
        return None
    if position == 0 and block[:4] in {b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08\x00", b"\xfd7zX"}:
        raise ReaperError(str(place), "is compressed", "unpack it first: `zstd -d`, `gunzip` or `xz -d`")
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        cut = f"is cut off at byte {position}" if len(block) < BLOCK else f"is damaged at byte {position}"
        problem = "is no tar" if position == 0 else cut
        raise ReaperError(str(place), problem, AGAIN) from None


def _long_name(place: Path, file: BinaryIO, start: int, size: int) -> str:
    if size > LONGEST_EXTENSION:
        raise ReaperError(str(place), f"has a name of {size} bytes", AGAIN)
    file.seek(start)
    return file.read(size).rstrip(b"\0").decode("utf-8", "surrogateescape")
