"""Where models lie on a host and who may write there: frozen records, ``None`` where nothing was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PlacePart:
    """One directory on the way to a place; owner is a name, or the number that has none."""

    path: str
    mode: str
    uid: int
    gid: int
    owner: str = ""
    directory: bool = True


@dataclass(frozen=True)
class Place:
    """The place of the models that the inventory names. steps: what is there of the way, the place itself included.

    uid, gids: of the server's user, None where there is none yet; denied: what that user was refused, None where it
    was not tried; root_may_write: at the last step, which a share can forbid.
    """

    path: str
    exists: bool = False
    entries: int | None = None
    steps: tuple[PlacePart, ...] = ()
    uid: int | None = None
    gids: tuple[int, ...] = ()
    denied: tuple[str, ...] | None = None
    root_may_write: bool = True


@dataclass(frozen=True)
class StoredBlob:
    """A file of blobs/: `sha256-HEX`, `sha256-HEX-partial` or `sha256-HEX-partial-N`; age in seconds."""

    name: str
    size: int
    age: int | None = None


@dataclass(frozen=True)
class StoredManifest:
    """layers: blob name (`sha256-HEX`) to size in bytes, config included. error says why it cannot be read."""

    name: str
    path: str
    layers: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class ModelStore:
    """A model store: the server's own first, then others that were found on the host. blobs None: not read.

    mode is empty for a store of the server's that is not there. kept: names of blobs that only a manifest for an older
    server lists.
    """

    path: str
    manifests: tuple[StoredManifest, ...] = ()
    blobs: tuple[StoredBlob, ...] | None = None
    uid: int | None = None
    gid: int | None = None
    mode: str = ""
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Denied:
    """What the server's user may not do. need: enter, read or write; error: EACCES, EROFS or another errno's name."""

    path: str
    need: str
    error: str = "EACCES"


@dataclass(frozen=True)
class Pulled:
    """How our own last pull of a model ended; error is empty when it succeeded. age in seconds."""

    model: str
    error: str = ""
    age: int | None = None


@dataclass(frozen=True)
class PathStep:
    """One directory on the way to the model store, from / down; user None when the id has no name."""

    path: str
    mode: str
    uid: int
    gid: int
