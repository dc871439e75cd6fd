"""Where the blobs of a bundle come from: a registry, a mirror, or a model store on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import BinaryIO, Protocol

from reaper_ops.adapters.fan_out import Halt
from reaper_ops.adapters.pack_writer import Slot, Writer, on_disk
from reaper_ops.adapters.registry import RegistryError, RegistryManifest
from reaper_ops.core.facts import store_layout
from reaper_ops.core.models.names import ModelName
from reaper_ops.errors import ReaperError

PIECE = 1 << 20
NOTE_EVERY = 32 << 20
ATTEMPTS = 6
LASTING = frozenset({400, 401, 403, 404, 412})


class BlobOrigin(Protocol):
    def manifest(self, name: ModelName) -> RegistryManifest: ...
    def blob(self, name: ModelName, digest: str, start: int = 0) -> AbstractContextManager[Iterator[bytes]]: ...


PREFERRED = ("ggml", "llamacpp")
"""Of a list, the weights as they were published, which every server runs; then what 0.40 makes of them."""
STORE_HINT = "`ollama list` shows the models of a store"


class LocalStore:
    """The model store of an Ollama server, as it is on disk, in either of its layouts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not any((root / part).is_dir() for part in store_layout.ROOTS):
            raise ReaperError(str(root), "is no model store: it has no manifests", "name OLLAMA_MODELS of a server")

    def manifest(self, name: ModelName) -> RegistryManifest:
        """Of a list of manifests the one of the weights as they were published, otherwise the first that is there."""
        paths = [self.root / place for place in store_layout.places(*astuple(name))]
        path = next((path for path in paths if path.exists()), paths[-1])
        data = self._bytes(path)
        try:
            listed = store_layout.children(data)
        except ValueError as error:
            raise ReaperError(str(path), str(error), STORE_HINT) from None
        if listed is not None:
            path, data = self._chosen(path, listed)
        return RegistryManifest(str(path), data, f"sha256:{hashlib.sha256(data).hexdigest()}")

    def _bytes(self, path: Path) -> bytes:
        """A link is followed to a blob of this store only."""
        if path.is_symlink() and path.resolve().parent != (self.root / "blobs").resolve():
            raise ReaperError(str(path), "is a link to no blob of its store", STORE_HINT)
        try:
            return path.read_bytes()
        except OSError as error:
            raise ReaperError(str(path), f"cannot be read ({error.strerror})", STORE_HINT) from None

    def _chosen(self, path: Path, listed: Sequence[tuple[str, str]]) -> tuple[Path, bytes]:
        blobs = [(self.root / "blobs" / digest.replace(":", "-"), engine) for digest, engine in listed]
        there = [(blob, engine) for blob, engine in blobs if blob.exists()]
        if not there:
            raise ReaperError(str(path), "lists no manifest that is in the store", STORE_HINT)
        order = {engine: number for number, engine in enumerate(PREFERRED)}
        blob, _ = min(there, key=lambda row: order.get(row[1], len(order)))
        return blob, self._bytes(blob)

    @contextmanager
    def blob(self, name: ModelName, digest: str, start: int = 0) -> Iterator[Iterator[bytes]]:
        path = self.root / "blobs" / digest.replace(":", "-")
        with _readable(path):
            file = path.open("rb")
        with file:
            file.seek(start)
            yield _pieces(path, file)


def _pieces(path: Path, file: BinaryIO) -> Iterator[bytes]:
    while True:
        with _readable(path):
            part = file.read(PIECE)
        if not part:
            return
        yield part


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryError(str(path), f"cannot be read ({error.strerror})", "verify the store", 404) from None


class Fetch:
    """One blob into its slot, checked; errors that may pass are tried again, without what is there already.

    Once `halt` is set, what other threads fetch ends too, and keeps what it has.
    """

    def __init__(self, writer: Writer, tell: Callable[[str, int], None], pause: float = 1.0) -> None:
        self.writer, self.tell, self.pause = writer, tell, pause
        self.halt = Halt()

    @property
    def is_stopped(self) -> bool:
        return self.halt.is_set()

    def rest(self, seconds: float) -> None:
        self.halt.wait(seconds)

    def __call__(self, origin: BlobOrigin, name: ModelName, digest: str, size: int) -> None:
        slot = self.writer.slot(digest, size)
        if slot is None:
            self.tell(digest, size)
            return
        with on_disk(slot.path), slot.path.open("r+b") as file:
            filling = _Filling(self, origin, name, digest, slot, file)
            found = filling.run()
        if f"sha256:{found}" != digest:
            self.writer.note(digest, 0)
            problem = f"sends other bytes than were asked for: they hash to {found[:12]}"
            raise RegistryError(name.full, problem, f"look at what serves {digest[:19]}, then run again")
        self.writer.done(digest)


class _Filling:
    def __init__(
        self, fetch: Fetch, origin: BlobOrigin, name: ModelName, digest: str, slot: Slot, file: BinaryIO
    ) -> None:
        self.fetch, self.origin, self.name, self.digest, self.slot = fetch, origin, name, digest, slot
        self.file, self.found, self.position, self.noted = file, hashlib.sha256(), 0, 0

    def run(self) -> str:
        """The sum of what is in the slot in the end."""
        self._resume()
        failures, size = 0, self.slot.size
        while self.position < size:
            before = self.position
            error = self._attempt()
            failures = 0 if self.position > before else failures + 1
            if self.position < size and (error.status in LASTING or failures >= ATTEMPTS or self.fetch.is_stopped):
                self._note()
                raise error
            if self.position < size:
                self.fetch.rest(min(self.fetch.pause * 2**failures, 30))
        return self.found.hexdigest()

    def _resume(self) -> None:
        self.file.seek(self.slot.offset)
        while self.position < self.slot.start:
            part = self.file.read(min(PIECE, self.slot.start - self.position))
            if not part:
                break
            self._took(part)
        self.noted = self.position

    def _attempt(self) -> RegistryError:
        """Goes as far as it comes; the error says why no further."""
        try:
            with self.origin.blob(self.name, self.digest, self.position) as parts:
                for part in parts:
                    if self.fetch.is_stopped:
                        break
                    if self.position + len(part) > self.slot.size:
                        problem = f"sends more than the {self.slot.size} bytes of {self.digest[:19]}"
                        return RegistryError(self.name.full, problem, "look at what answers there", 400)
                    self.file.write(part)
                    self._took(part)
                    if self.position - self.noted > NOTE_EVERY:
                        self._note()
        except RegistryError as error:
            return error
        return RegistryError(self.name.full, f"ends {self.digest[:19]} too early", "run again; it goes on from there")

    def _took(self, part: bytes) -> None:
        self.found.update(part)
        self.position += len(part)
        self.fetch.tell(self.digest, len(part))

    def _note(self) -> None:
        self.file.flush()
        if self.position:
            self.fetch.writer.note(self.digest, self.position)
        self.noted = self.position
