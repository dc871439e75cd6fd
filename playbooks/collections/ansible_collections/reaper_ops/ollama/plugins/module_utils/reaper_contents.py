"""A model store read byte by byte: which models its manifests list, and which blobs match their names."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import platform
import subprocess

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_layout as layout
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_manifests import (
    BLOB,
    entries,
    known_as,
    manifest,
    named_by,
    sizes_of,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_registry import blobs as blobs_of
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import Trouble, same_name, split_name

PIECE = 1 << 20
IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "armv7l": 314, "ppc64le": 273, "s390x": 282, "riscv64": 30}
IDLE = 3 << 13


def store_of(models_dir, container):
    """The store as a path of the host; a container's store is at the source of its mount."""
    if not container:
        return models_dir
    argv = ["docker", "inspect", "--type", "container", "-f", "{{json .Mounts}}", container]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Trouble("docker inspect %s: %s" % (container, error)) from None
    if done.returncode:
        raise Trouble("docker inspect %s: %s" % (container, done.stderr.decode("utf-8", "replace").strip()))
    mounts = json.loads(done.stdout.decode("utf-8"))
    inside = [row for row in mounts if (models_dir + "/").startswith(row["Destination"].rstrip("/") + "/")]
    if not inside:
        raise Trouble("the container %s mounts nothing at %s: its models are lost with it" % (container, models_dir))
    mount = max(inside, key=lambda row: len(row["Destination"]))
    if not os.path.isdir(mount["Source"]):
        raise Trouble("%s: the volume of %s is not on this host" % (mount["Source"], container))
    return mount["Source"] + models_dir[len(mount["Destination"].rstrip("/")) :]


def behind_others():
    """Runs at idle I/O priority and the lowest CPU priority."""
    os.nice(19)
    number = IOPRIO_SET.get(platform.machine())
    if number is None:
        return False
    return ctypes.CDLL(None, use_errno=True).syscall(number, 1, 0, IDLE) == 0


def targets_of(store, name):
    """Where a manifest is written: below `manifests/`, then below `manifests-v2/` where the store has that.

    The same bytes in both: the server reads the last, one from before 0.40 the first, and neither needs a blob for it.
    Keeps a spelling that the store already has, as the server does.
    """
    there = [row for row in entries(store).items() if same_name(row[0], name)]
    known, paths = there[0] if there else (name, [])
    current, legacy = layout.places(*split_name(known))[:2]
    found = [_spelled(store, layout.LEGACY, paths, legacy)]
    if os.path.isdir(os.path.join(store, layout.CURRENT)):
        found.append(_spelled(store, layout.CURRENT, paths, current))
    return found


def _spelled(store, root, paths, otherwise):
    return next((path for path in paths if path.split("/")[-5] == root), os.path.join(store, otherwise))


def models_in(store):
    """A row for each model: name, path, digest, and the sizes of its blobs, or what is wrong with the manifest."""
    rows = [row_of(store, name, paths) for name, paths in entries(store).items() if not layout.is_shadow(name)]
    return [row for row in rows if row is not None]


def row_of(store, name, paths):
    """None for a model that was removed meanwhile."""
    row = {"name": name, "path": paths[0], "digest": "", "known_as": [], "sizes": {}, "error": ""}
    try:
        found = manifest(store, paths)
        row.update(path=found[0], digest=hashlib.sha256(found[1]).hexdigest())
        row["sizes"] = sizes_of(store, found, blobs_of)
        row["known_as"] = sorted(known_as(store, found))
    except (Trouble, ValueError, tree.Refused) as error:
        row["error"] = str(error)
    except FileNotFoundError as error:
        if not os.path.lexists(row["path"]):
            return None
        row["error"] = "%s %s" % (row["path"], error.strerror)
    except OSError:
        row["error"] = "%s cannot be read" % row["path"]
    return row


def chosen(rows, only):
    return [row for row in rows if not only or any(same_name(row["name"], name) for name in only)]


def file_of(store, digest):
    return os.path.join(store, "blobs", digest.replace(":", "-"))


def examine(path, digest, size, tell):
    """(state, problem): ok, missing, short, damaged or unreadable. size is None when no manifest gives one."""
    try:
        with tree.reading(path, linked=True) as file:
            has = os.fstat(file.fileno()).st_size
            if size is not None and has != size:
                return "short", "has %d bytes, the manifest says %d" % (has, size)
            found = hashed(os.dup(file.fileno()), tell)
    except FileNotFoundError:
        return "missing", "is not there"
    except tree.Refused as refused:
        return "unreadable", refused.strerror
    except OSError as error:
        return "unreadable", "cannot be read: %s" % error.strerror
    if found != digest.rpartition(":")[2]:
        return "damaged", "its bytes hash to %s" % found[:12]
    return "ok", ""


def hashed(descriptor, tell):
    """SHA-256 of an open file, which is then closed; drops the bytes from the page cache, which models in use need."""
    found, position = hashlib.sha256(), 0
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while True:
            piece = file.read(PIECE)
            if not piece:
                return found.hexdigest()
            found.update(piece)
            with contextlib.suppress(OSError, AttributeError):
                os.posix_fadvise(file.fileno(), position, len(piece), os.POSIX_FADV_DONTNEED)
            position += len(piece)
            tell(position)


def unnamed(store):
    """Digests and sizes of complete blobs that no manifest names, and the number of unfinished files.

    What only a manifest for an older server names is named.
    """
    named = {digest for paths in entries(store).values() for path in paths for digest in named_by(store, path)}
    found, unfinished = {}, 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), tree.directory(os.path.join(store, "blobs")) as fd:
        for name in sorted(os.listdir(fd)):
            digest, info = name.replace("-", ":", 1), tree.lstat(fd, name)
            if info is not None and BLOB.match(name) and digest not in named:
                found[digest] = info.st_size
            unfinished += name.endswith("-partial")
    return found, unfinished
