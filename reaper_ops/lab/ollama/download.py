"""Downloads of blobs: in parts, resumed from part files, shared by everybody who wants the same digest."""

from __future__ import annotations

import errno
import glob
import hashlib
import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import log
from .faults import Faults
from .registry_client import PullError, RegistryClient, ranged
from .store import LabStore, go_error

_TRIES = 6
_AT_ONCE = 16
_PIECE = 1 << 15
_STALL = 30.0
_DIRECT = 30.0
_PART = int(os.environ.get("REAPER_OPS_LAB_PART_BYTES") or 0)
_PATIENCE = float(os.environ.get("REAPER_OPS_LAB_PATIENCE") or 1.0)


class Cancelled(Exception):
    """Nobody waits for this download any more."""


@dataclass
class DownloadPart:
    number: int
    offset: int
    size: int
    completed: int = 0

    def save(self, partial: str) -> None:
        text = json.dumps(
            {"N": self.number, "Offset": self.offset, "Size": self.size, "Completed": self.completed},
            separators=(",", ":"),
        )
        path = f"{partial}-{self.number}"
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text + "\n")
        except OSError as error:
            verb = "write" if error.errno == errno.ENOSPC else "open"
            raise PullError(str(go_error(verb, path, error))) from None


@dataclass
class BlobDownload:
    digest: str
    path: str
    total: int = 0
    parts: list[DownloadPart] = field(default_factory=list)
    waiting: int = 0
    error: str = ""
    done: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def completed(self) -> int:
        return sum(part.completed for part in self.parts)

    @property
    def label(self) -> str:
        return self.digest[7:19]


class Downloads:
    """Every running download of one server, by digest."""

    def __init__(self, store: LabStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._lock = threading.Lock()
        self._running: dict[str, BlobDownload] = {}

    def join(self, registry: RegistryClient, digest: str) -> BlobDownload:
        """The running download of that digest, or a new one."""
        with self._lock:
            download = self._running.get(digest)
            if download and not download.cancelled.is_set() and not download.done.is_set():
                download.waiting += 1
                return download
            fresh = self._prepare(registry, digest)
            self._running[digest] = fresh
            fresh.waiting += 1
        threading.Thread(target=self._run, args=(fresh, registry), daemon=True).start()
        return fresh

    def leave(self, download: BlobDownload) -> None:
        with self._lock:
            download.waiting -= 1
            if download.waiting <= 0 and not download.done.is_set():
                download.cancelled.set()
        if download.cancelled.is_set():
            download.done.wait(5)

    def _prepare(self, registry: RegistryClient, digest: str) -> BlobDownload:
        download = BlobDownload(digest, self._store.blob(digest))
        for path in sorted(glob.glob(glob.escape(download.path) + "-partial-*")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            try:
                found = json.loads(text)
            except ValueError:
                raise PullError("unexpected EOF" if text else "EOF") from None
            download.parts.append(DownloadPart(found["N"], found["Offset"], found["Size"], found["Completed"]))
        if download.parts:
            download.total = sum(part.size for part in download.parts)
            return download
        download.total = registry.blob_size(digest)
        size = _PART or min(max(download.total // 16, 100_000_000), 1_000_000_000)
        for offset in range(0, download.total, size):
            part = DownloadPart(len(download.parts), offset, min(size, download.total - offset))
            part.save(download.path + "-partial")
            download.parts.append(part)
        if download.parts:
            text = f"{len(download.parts)} {log.decimal_size(download.parts[0].size)} part(s)"
            log.slog("INFO", "download.go:181", f"downloading {download.label} in {text}")
        return download

    def _run(self, download: BlobDownload, registry: RegistryClient) -> None:
        try:
            self._fetch(download, registry)
        except PullError as error:
            download.error = str(error)
        except Cancelled:
            download.error = "context canceled"
        finally:
            with self._lock:
                if self._running.get(download.digest) is download:
                    self._running.pop(download.digest)
                download.done.set()

    def _fetch(self, download: BlobDownload, registry: RegistryClient) -> None:
        partial = download.path + "-partial"
        try:
            with open(partial, "ab") as file:
                file.truncate(download.total)
        except OSError as error:
            raise PullError(str(go_error("open", partial, error))) from None
        url = registry.direct_url(download.digest, _DIRECT * _PATIENCE)
        failures: list[Exception] = []
        waiting = iter([part for part in download.parts if part.completed < part.size])
        threads = [
            threading.Thread(target=self._parts, args=(download, waiting, url, failures), daemon=True)
            for _ in range(min(_AT_ONCE, len(download.parts)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        for part in download.parts:
            os.remove(f"{partial}-{part.number}")
        os.rename(partial, download.path)

    def _parts(
        self, download: BlobDownload, waiting: Iterator[DownloadPart], url: str, failures: list[Exception]
    ) -> None:
        while not failures:
            with self._lock:
                part = next(waiting, None)
            if part is None:
                return
            self._part(download, part, url, failures)

    def _part(self, download: BlobDownload, part: DownloadPart, url: str, failures: list[Exception]) -> None:
        last, attempt = "EOF", 0
        while attempt < _TRIES:
            try:
                self._attempt(download, part, url)
                return
            except (Cancelled, PullError) as error:
                failures.append(error)
                return
            except TimeoutError:
                self._say_stalled(download, part)
                continue
            except (OSError, http.client.HTTPException) as error:
                last = "unexpected EOF" if isinstance(error, http.client.IncompleteRead) else str(error)
            pause = 2**attempt
            log.slog(
                "INFO",
                "download.go:299",
                f"{download.label} part {part.number} attempt {attempt} failed: {last}, retrying in {pause}s",
            )
            if download.cancelled.wait(pause * _PATIENCE):
                failures.append(Cancelled())
                return
            attempt += 1
        failures.append(PullError(f"max retries exceeded: {last}"))

    def _attempt(self, download: BlobDownload, part: DownloadPart, url: str) -> None:
        """Whatever the status, the body is taken for bytes. What a cut answer or a caller who left gave is kept."""
        before = part.completed
        first, last = part.offset + before, part.offset + part.size - 1
        connection, answer = ranged(url, first, last)
        partial = download.path + "-partial"
        try:
            with open(partial, "r+b", buffering=0) as file:
                file.seek(first)
                self._copy(download, part, answer, file)
        except (Cancelled, TimeoutError, http.client.IncompleteRead):
            part.save(partial)
            raise
        except (OSError, http.client.HTTPException, PullError):
            part.completed = before
            raise
        finally:
            connection.close()
        part.save(partial)

    def _copy(self, download: BlobDownload, part: DownloadPart, answer: http.client.HTTPResponse, file: object) -> None:
        write = file.write  # type: ignore[attr-defined]
        while part.completed < part.size:
            self._obey(download, part)
            piece = answer.read1(min(_PIECE, part.size - part.completed))
            if not piece:
                raise http.client.IncompleteRead(b"") if answer.length else OSError("EOF")
            if self._faults.on("digest-mismatch"):
                piece = bytes(byte ^ 0x55 for byte in piece)
            left = memoryview(piece)
            try:
                while left:
                    left = left[write(left) :]
            except OSError as error:
                raise PullError(str(go_error("write", download.path + "-partial", error))) from None
            part.completed += len(piece)

    def _obey(self, download: BlobDownload, part: DownloadPart) -> None:
        """Faults of the disk and of the network, and callers who left."""
        faults = self._faults
        if faults.on("disk-full") and download.completed >= faults.option("disk-full", "after_bytes", 65536):
            raise PullError(f"write {download.path}-partial: no space left on device")
        stalled = time.monotonic()
        while faults.on("stall") and download.completed >= faults.option("stall", "after_bytes", 65536):
            if download.cancelled.wait(0.05):
                break
            if time.monotonic() - stalled > _STALL:
                stalled = time.monotonic()
                self._say_stalled(download, part)
        if download.cancelled.is_set():
            raise Cancelled

    def _say_stalled(self, download: BlobDownload, part: DownloadPart) -> None:
        text = f"{download.label} part {part.number} stalled; retrying. If this persists, press ctrl-c to exit, then "
        log.slog("INFO", "download.go:377", text + "'ollama pull' to find a faster connection.")


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
