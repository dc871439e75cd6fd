"""Copies the example inventory to a directory of the user; nothing that is there is overwritten."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from reaper_ops.errors import ReaperError


@dataclass(frozen=True)
class Copied:
    """Paths below the directory: what was written, and what was there and stays as it is."""

    written: tuple[str, ...]
    kept: tuple[str, ...]


def copy(source: Path, target: Path, *, into_used: bool) -> Copied:
    if target.exists() and not target.is_dir():
        raise ReaperError(str(target), "is a file", "name a directory")
    if not into_used and target.is_dir() and any(target.iterdir()):
        raise ReaperError(str(target), "is not empty", "name another directory, or add only what is missing: --force")
    names = sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
    kept = tuple(name for name in names if (target / name).exists())
    written = tuple(name for name in names if name not in kept)
    try:
        for name in written:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
    except OSError as error:
        raise ReaperError(str(target), error.strerror or str(error), "name a directory that you may write") from None
    return Copied(written, kept)
