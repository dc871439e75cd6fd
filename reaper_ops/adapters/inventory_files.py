"""Files that we keep beside an inventory, never in one: Ansible reads whatever lies in a directory as hosts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reaper_ops.errors import ReaperError

LOCK = "models.lock"
RECORD = "models.pulled.json"


def place(inventory: Iterable[str], name: str) -> Path:
    """Beside the first inventory that is a file or directory; a directory's file has its name in front."""
    for item in inventory:
        path = Path(item)
        if "," not in item and path.exists():
            return _outside(path, name) if path.is_dir() else path.parent / name
    return Path(name)


def check(inventory: Path) -> None:
    """ReaperError where a file of ours lies in an inventory that is a directory."""
    for name in (LOCK, RECORD):
        if (inventory / name).is_file():
            step = f"mv {inventory / name} {_outside(inventory, name)}"
            raise ReaperError(str(inventory / name), "Ansible reads it as an inventory of hosts", step)


def _outside(directory: Path, name: str) -> Path:
    whole = directory if directory.name not in {"", ".."} else directory.resolve()
    return whole.with_name(f"{whole.name}.{name}") if whole.name else directory / name
