"""Swap: what is to be done, and what a host cannot or must not be given. A swap file that was there is its owner's."""

from __future__ import annotations

import re

from reaper_ops.core import shell
from reaper_ops.core.facts.model import HostFile, Swap
from reaper_ops.core.provision.plan.model import Action, PlanInput
from reaper_ops.core.values import human_bytes

SYS_ADMIN = 21
GIB = 1 << 30
REFUSED = (
    (r"zfs", "a swap file on ZFS can deadlock"),
    (r"overlay|aufs", "overlay file systems cannot hold a swap file"),
    (r"tmpfs|ramfs|devtmpfs", "it is itself in memory"),
    (
        r"nfs|nfs4|cifs|smb3|9p|ceph|virtiofs|afs|glusterfs|lustre|gfs2|ocfs2",
        "network file systems cannot hold a swap file",
    ),
    (r"fuse.*|ecryptfs|squashfs|iso9660|vfat|msdos|exfat|ntfs3?|bcachefs|udf", "this file system cannot hold one"),
)
"""The same kinds as the module's; a test holds them equal."""


def refused(fstype: str) -> str:
    """Why this kind of file system carries no swap; empty when it may."""
    return next((why for pattern, why in REFUSED if re.fullmatch(pattern, fstype)), "")


def actions(case: PlanInput) -> list[Action]:
    kind = case.settings.swap_kind
    if kind == "none":
        return []
    found = _file(case) if kind == "file" else _zram(case)
    return found + [a for a in case.file_actions("swap/") if a.id == "swap/sysctl"]


def blockers(case: PlanInput) -> list[str]:
    kind = case.settings.swap_kind
    if kind == "none":
        return []
    rights = _rights(case)
    return [rights] if rights else _place(case) if kind == "file" else []


def warnings(case: PlanInput) -> list[str]:
    container = case.facts.system.container
    if case.settings.swap_kind != "none" and container and container != "wsl":
        return [f"this host is a container ({container}): swap that it switches on is swap of the whole machine"]
    return []


def _rights(case: PlanInput) -> str:
    """The kernel takes swap from its own root alone, not from that of a container or of a user namespace."""
    system = case.facts.system
    allowed = system.caps is None or system.caps >> SYS_ADMIN & 1
    if allowed and not system.own_namespace:
        return ""
    where = f"this container ({system.container})" if system.container else "root of this host"
    return f"{where} may not switch swap on: it is the machine's; set it up there, and `swap_kind: none` here"


def _place(case: PlanInput) -> list[str]:
    path = case.settings.swap_path
    disk = case.facts.disks.get(path)
    why = refused(disk.fstype) if disk else ""
    if disk and why:
        return [
            f"{path} is on {disk.fstype}: {why}; set swap_path to a path on ext4, xfs or btrfs, or `swap_kind: none`"
        ]
    there = case.facts.files.get(path)
    if there is not None and there.kind not in {"", "file"}:
        return [f"{path} exists and is not a regular file; choose another swap_path"]
    if _is_foreign(case):
        return _foreign(case, there)
    reserve = min(GIB, disk.total // 20) if disk else 0
    size = case.settings.swap_size
    if disk and _file(case) and not _kept(case) and size + reserve > disk.free:
        return [
            f"{path}: {human_bytes(size)} of swap and {human_bytes(reserve)} in reserve do not fit, "
            f"{human_bytes(disk.free)} are free on {disk.mount}; lower swap_size or choose another swap_path"
        ]
    return []


def _foreign(case: PlanInput, there: HostFile | None) -> list[str]:
    path, size, row = case.settings.swap_path, case.settings.swap_size, _row(case)
    if row is None:
        held = f" ({human_bytes(there.size)})" if there and there.size is not None else ""
        return [
            f"{path}{held} is there, is not of reaper_ops, and the host does not swap to it; it is left as it is: "
            f"switch it on ({shell.typed('swapon {path}', path=path)}) if it is your swap, or choose another swap_path"
        ]
    if _same(row.size, size):
        return []
    return [
        f"{path} is the host's own swap of {human_bytes(row.size)}, not of reaper_ops, and is not resized; "
        f"set `swap_size: {_mebibytes(row.size)}` to keep it, or choose another swap_path"
    ]


def _mebibytes(size: int) -> str:
    return f"{-(-size // (1 << 20))}M"


def _same(one: int, other: int) -> bool:
    return abs(one - other) <= 1 << 20


def _row(case: PlanInput) -> Swap | None:
    return next((row for row in case.facts.swaps or () if row.path == case.settings.swap_path), None)


def _is_foreign(case: PlanInput) -> bool:
    """There, and not made by us: the manifest names what we made before we make it."""
    path, manifest = case.settings.swap_path, case.facts.manifest or {}
    made, existed = manifest.get("swap"), manifest.get("existed")
    ours = isinstance(made, list) and path in made and not (isinstance(existed, list) and f"swap {path}" in existed)
    return not ours and (_row(case) is not None or path in case.facts.files)


def _kept(case: PlanInput) -> bool:
    """Whether a file of ours is there already and has its size."""
    there, row = case.facts.files.get(case.settings.swap_path), _row(case)
    size = row.size if row else there.size if there else None
    return size is not None and _same(size, case.settings.swap_size)


def _file(case: PlanInput) -> list[Action]:
    problem = "" if _is_foreign(case) else _difference(case)
    return [Action("swap/file", case.settings.swap_path, problem)] if problem else []


def _difference(case: PlanInput) -> str:
    path, size, row = case.settings.swap_path, case.settings.swap_size, _row(case)
    if row is None:
        return f"no active swap there; {human_bytes(size)} desired"
    if not _same(row.size, size):
        return f"is {human_bytes(row.size)}; {human_bytes(size)} desired"
    fstab = case.facts.files.get("/etc/fstab")
    lines = (fstab.content or "").splitlines() if fstab else []
    if not any(line.split()[:1] == [path] for line in lines):
        return "is active but not in /etc/fstab, so it is gone after a reboot"
    return ""


def _zram(case: PlanInput) -> list[Action]:
    package = "systemd-zram-generator" if case.facts.system.family == "debian" else "zram-generator"
    found = case.missing_packages("swap/package", [package])
    found += [a for a in case.file_actions("swap/") if a.id == "swap/zram"]
    active = any(row.path.startswith("/dev/zram") for row in case.facts.swaps or ())
    if found or not active:
        found.append(Action("swap/zram-start", "/dev/zram0", "is to run with these settings"))
    return found
