"""Creates a swap file in the form that its file system supports."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import platform
import re
import struct

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, sync_directory
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_swap import PART, command

PAGE = mmap.PAGESIZE
GIB = 1 << 30
CHUNK = bytes(4 << 20)
NOCOW, GET_FLAGS, SET_FLAGS = 0x00800000, 0x80086601, 0x40086602
ELSEWHERE = "set swap_path to a path on ext4, xfs or btrfs, or use `swap_kind: zram`"
REFUSED = (
    (r"zfs", "the kernel deadlocks when it swaps to ZFS"),
    (r"overlay|aufs", "an overlay file system cannot hold swap"),
    (r"tmpfs|ramfs|devtmpfs", "it is itself in memory"),
    (
        r"nfs|nfs4|cifs|smb3|9p|ceph|virtiofs|afs|glusterfs|lustre|gfs2|ocfs2",
        "a network file system may block on memory",
    ),
    (r"fuse.*|ecryptfs|squashfs|iso9660|vfat|msdos|exfat|ntfs3?|bcachefs|udf", "this file system cannot hold swap"),
)


def existing_parent(path):
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def mounted(path):
    """(file system type, mount point, device) of `path`, even before it exists."""
    real = os.path.realpath(existing_parent(path))
    best = ("", "/", "")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            mount = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), left.split()[4])
            if (real == mount or real.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best[1]):
                fields = right.split()
                best = (fields[0], mount, fields[1])
    return best


def refusal(path):
    """Why this path cannot hold swap; empty when it can."""
    kind, mount, _ = mounted(path)
    for pattern, reason in REFUSED:
        if re.match("^(%s)$" % pattern, kind):
            return "%s is on %s (mounted at %s): %s; %s" % (path, kind, mount, reason, ELSEWHERE)
    return ""


def require_space(path, size):
    """Keeps 1 GiB free, or 5 % of a small file system."""
    stat = os.statvfs(existing_parent(path))
    free, total = stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize
    reserve = min(GIB, total // 20)
    if size + reserve > free:
        raise Trouble(
            "%s: %d MB of swap and %d MB in reserve do not fit into %d MB; lower swap_size or free some space"
            % (path, size >> 20, reserve >> 20, free >> 20)
        )


def signed(path, size):
    """Whether `path` is a complete swap file of this size."""
    try:
        with open(path, "rb") as file:
            head = file.read(PAGE)
        exact = os.stat(path).st_size == size
    except OSError:
        return False
    if len(head) < PAGE or head[-10:] != b"SWAPSPACE2" or not exact:
        return False
    return struct.unpack_from("=I", head, 1028)[0] == size // PAGE - 1


def blank(path):
    """Whether it can only be an unfinished swap file of any tool: it starts with nothing but zeros."""
    with open(path, "rb") as file:
        head = file.read(1 << 20)
    return head[PAGE - 10 : PAGE] == b"SWAPSPACE2" or not head.strip(b"\0")


def kernel():
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def by_allocation(kind):
    return kind in ("ext4", "btrfs") or (kind == "xfs" and kernel() >= (4, 18))


def fill(handle, size, allocate):
    if allocate:
        try:
            os.posix_fallocate(handle, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    left = size
    while left:
        left -= os.write(handle, CHUNK[: min(left, len(CHUNK))])


def no_copy_on_write(handle):
    flags = bytearray(8)
    fcntl.ioctl(handle, GET_FLAGS, flags)
    fcntl.ioctl(handle, SET_FLAGS, struct.pack("=q", struct.unpack("=q", flags)[0] | NOCOW))


def make(path, size, allocate=None):
    """Creates a complete swap file that appears at `path` atomically. Returns whether it was allocated, not written."""
    kind = mounted(path)[0]
    allocate = by_allocation(kind) if allocate is None else allocate
    part = path + PART
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)
    require_space(path, size)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(handle, 0o600)
        if kind == "btrfs":
            no_copy_on_write(handle)
        fill(handle, size, allocate)
        os.fsync(handle)
    except OSError as error:
        os.unlink(part)
        raise Trouble(
            "%s: cannot be written: %s; lower swap_size or free some space" % (path, error.strerror)
        ) from None
    finally:
        os.close(handle)
    command(["mkswap", part])
    os.replace(part, path)
    sync_directory(os.path.dirname(path))
    return allocate
