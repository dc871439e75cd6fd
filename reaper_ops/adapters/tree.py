"""Writes files into a directory of the user's, and reads them back."""

from __future__ import annotations

import os
from pathlib import Path

from reaper_ops.errors import CommandError, ReaperError


def write(root: str, name: str, text: str, mode: str = "0644") -> str:
    """The path that was written; `name` may not lead out of `root`."""
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise ReaperError(name, f"leads out of {root}", "rename the host in the inventory")
    path = Path(root) / name
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, int(mode, 8))
            file.write(text.encode())
    except OSError as exc:
        raise CommandError(str(path), f"cannot be written: {exc.strerror}", "name another directory") from None
    return str(path)


def replace(path: str, text: str) -> None:
    """In one step: who reads meanwhile has the old file, whole."""
    place = Path(path).resolve()
    if place.exists() and not place.is_file():
        raise ReaperError(path, "is no file that could be replaced", "name another")
    beside = write(str(place.parent), f".{place.name}.{os.getpid()}", text)
    try:
        Path(beside).replace(place)
    except OSError as exc:
        Path(beside).unlink(missing_ok=True)
        raise CommandError(path, f"cannot be written: {exc.strerror}", "name another file") from None


def read(path: str, limit: int = 64 << 20) -> tuple[str, float]:
    """The text, and when it was written; a file beyond the limit in bytes is refused."""
    try:
        with Path(path).open("rb") as file:
            data, written = file.read(limit + 1), os.fstat(file.fileno()).st_mtime
    except OSError as exc:
        raise ReaperError(path, f"cannot be read: {exc.strerror}", "check the name") from None
    if len(data) > limit:
        raise ReaperError(path, f"is larger than {limit >> 20} MiB", "check the name")
    return data.decode(errors="replace"), written
