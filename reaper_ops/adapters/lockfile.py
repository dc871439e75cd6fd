"""`models.lock` on the controller: beside the inventory, written in one step."""

from __future__ import annotations

import os
from pathlib import Path

from reaper_ops.adapters import inventory_files as beside
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.models import lock
from reaper_ops.core.models.lock import Lock
from reaper_ops.errors import CommandError, ReaperError


def place(source: Source, chosen: str | None = None) -> Path:
    """The chosen file, or `models.lock` beside the inventory."""
    return Path(chosen) if chosen else beside.place(source.inventory, beside.LOCK)


def read(path: Path) -> Lock | None:
    """None where there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ReaperError(str(path), f"cannot be read ({error})", "check the file") from None
    return lock.parse(text, str(path))


def needed(path: Path) -> Lock:
    found = read(path)
    if found is None:
        raise ReaperError(str(path), "there is no lock", "write it with `reaper-ops models lock`")
    return found


def write(path: Path, content: Lock) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(lock.dump(content), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CommandError(str(path), f"cannot be written ({error.strerror})", "name another by --lock") from None
