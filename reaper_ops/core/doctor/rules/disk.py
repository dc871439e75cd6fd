"""The file system under the model store."""

from __future__ import annotations

from reaper_ops.core.doctor.rules import store
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.model import Disk
from reaper_ops.core.facts.traces import Mount
from reaper_ops.core.values import human_bytes

LEAST = 1 << 30
FEW_INODES = 64


def host_path(case: HostEvidence) -> str:
    """Where the store lies on the host: with Docker its bind mount, or else Docker's own directory."""
    if case.settings.ollama_runtime != "docker":
        return store.expanded(case, case.models_dir)
    root = case.facts.docker.root if case.facts and case.facts.docker else None
    return case.settings.ollama_models_dir or root or places.DOCKER_ROOT


def of_store(case: HostEvidence) -> Disk | None:
    """By the store's path, as the settings or the server's environment name it."""
    wanted = {store.expanded(case, case.models_dir), host_path(case)}
    disks = case.facts.disks if case.facts else {}
    return next((disk for name, disk in disks.items() if store.expanded(case, name) in wanted), None)


def mount_of(case: HostEvidence, path: str) -> Mount | None:
    """The deepest mount that holds the path; of two on one directory the later covers the earlier."""
    under = [mount for mount in case.traces.mounts or () if store.below(path, mount.target)]
    return max(reversed(under), key=lambda mount: len(mount.target), default=None)


def least(disk: Disk) -> int:
    """Below this a pull has no sense: what our own puller leaves free, less on small disks."""
    return min(LEAST, disk.total // 20)


def inodes_gone(disk: Disk) -> bool:
    if not disk.inodes_total or disk.inodes_free is None:
        return False
    return disk.inodes_free < min(FEW_INODES, disk.inodes_total // 20 + 1)


def spoken(disk: Disk) -> str:
    return f"{disk.mount} ({disk.fstype}): {human_bytes(disk.free)} free of {human_bytes(disk.total)}"
