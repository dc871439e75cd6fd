"""The file system under the model store."""

from __future__ import annotations

from reaper_ops.core.facts.model import Disk
from reaper_ops.core.facts.traces import Mount
from reaper_ops.core.rules import store
from reaper_ops.core.rules.case import Case
from reaper_ops.core.values import human_bytes

LEAST = 1 << 30
FEW_INODES = 64


def of_store(case: Case) -> Disk | None:
    """By the store's path, as it is written in the wish or in the server's environment."""
    disks = case.facts.disks if case.facts else {}
    path = store.expanded(case, case.models_dir)
    for name, disk in disks.items():
        if store.expanded(case, name) == path:
            return disk
    under = [disk for disk in disks.values() if below(path, disk.mount)]
    return max(under, key=lambda disk: len(disk.mount), default=None) if case.traces.mounts is None else None


def below(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies in it."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def mount_of(case: Case, path: str) -> Mount | None:
    """The deepest mount that holds the path; of two on one directory the later covers the earlier."""
    under = [mount for mount in case.traces.mounts or () if below(path, mount.target)]
    return max(reversed(under), key=lambda mount: len(mount.target), default=None)


def least(disk: Disk) -> int:
    """Below this a pull has no sense: what our own puller leaves free, less on small disks."""
    return min(LEAST, disk.total // 20)


def inodes_gone(disk: Disk) -> bool:
    return bool(disk.inodes_total) and disk.inodes_free is not None and disk.inodes_free < FEW_INODES


def spoken(disk: Disk) -> str:
    return f"{disk.mount} ({disk.fstype}): {human_bytes(disk.free)} free of {human_bytes(disk.total)}"
