"""A staging directory next to the blobs of a model store, for downloads that are not yet verified."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_contents import targets_of
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, sync_directory
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import split_name
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_torrent import blob, named, sha256
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tree import (
    directory,
    give,
    remove,
    remove_path,
    writer_of,
)

NAME = ".reaper"
GUEST = (64435, 64435)
"""User and group `nobody`, for aria2 in a store that root owns, such as a Docker volume: aria2 never runs as root."""
QUARTERS = "/var/lib/reaper_ops/swarm"
PIECE = 1 << 20
KEPT = 7 * 24 * 3600


def guest_for(path):
    """The user that downloads when the directory's owner is root and so are we; None when its owner does it."""
    return GUEST if os.getuid() == 0 and writer_of(path) is None else None


def quarters(path, name):
    """The guest's directory: that one, or, if the guest cannot reach it, one of its own for each path."""
    above = [os.path.abspath(path)]
    while above[-1] != "/":
        above.append(os.path.dirname(above[-1]))
    if all(os.stat(one).st_mode & 0o001 for one in above):
        return os.path.join(path, name)
    return "%s-%s" % (QUARTERS, hashlib.sha256(above[0].encode("utf-8", "surrogateescape")).hexdigest()[:12])


def settle(path, guest):
    """Gives the directory to the guest, who could not resume what another user left in it."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    if path.startswith(QUARTERS + "-"):
        with directory(os.path.dirname(path)) as above:
            os.fchmod(above, stat.S_IMODE(os.fstat(above).st_mode) | 0o011)
    with directory(path) as here:
        os.fchmod(here, 0o700)
        give(here, *guest)
        for name in os.listdir(here):
            if os.lstat(name, dir_fd=here).st_uid != guest[0]:
                remove(here, name, path)


class Staging:
    def __init__(self, models_dir):
        self.models_dir, self.guest = models_dir, guest_for(models_dir)
        self.path = quarters(models_dir, NAME) if self.guest else os.path.join(models_dir, NAME)

    def make(self):
        for path in (os.path.join(self.models_dir, "blobs"), os.path.join(self.models_dir, "manifests")):
            os.makedirs(path, mode=0o755, exist_ok=True)
        if self.guest:
            settle(self.path, self.guest)
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        self.tidy(False)

    def at(self, digest):
        return os.path.join(self.path, named(digest))

    def tidy(self, _purge):
        """Removes what the store already has, and downloads untouched for a week."""
        for name in os.listdir(self.path):
            path = os.path.join(self.path, name)
            with contextlib.suppress(OSError):
                stored = os.path.exists(os.path.join(self.models_dir, "blobs", name.replace(".aria2", "")))
                if name.startswith("sha256-") and (stored or time.time() - os.stat(path).st_mtime > KEPT):
                    os.unlink(path)

    def leave(self):
        """The store has its own copy: removes the guest's, and the guest's directory if nothing is left to resume."""
        if not self.guest or not os.path.isdir(self.path):
            return
        self.tidy(False)
        if not any(name.startswith("sha256-") for name in os.listdir(self.path)):
            remove_path(self.path)

    def take(self, digest):
        """Whether the download has this SHA-256; only then does it get its name in the store."""
        if self.guest:
            return self.copy_in(digest)
        with open(self.at(digest), "rb") as file:
            os.fsync(file.fileno())
        if "sha256:" + sha256(self.at(digest)) != digest:
            return False
        self.put_in(digest)
        return True

    def copy_in(self, digest):
        """The guest can still write to its download, so root's copy is hashed and stored instead."""
        found, temporary, target = hashlib.sha256(), self.temporary(), blob(self.models_dir, digest)
        handle = os.open(self.at(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            with open(handle, "rb") as source, open(temporary, "wb") as file:
                if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                    raise Trouble("%s is not a regular file" % self.at(digest))
                for piece in iter(lambda: source.read(PIECE), b""):
                    found.update(piece)
                    file.write(piece)
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.fsync(file.fileno())
            if "sha256:" + found.hexdigest() != digest:
                return False
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        sync_directory(os.path.dirname(target))
        return True

    def temporary(self):
        """A directory in which only the store's owner can write."""
        above = self.models_dir if self.guest else self.path
        return os.path.join(above, "reaper.%d" % os.getpid())

    def put_in(self, digest):
        """Links a complete blob with the right SHA-256 into the store; seeding continues under the first name."""
        path, target = self.at(digest), blob(self.models_dir, digest)
        os.chmod(path, 0o644)
        with tree.reading(path) as file:
            os.fsync(file.fileno())
        try:
            os.link(path, target)
        except FileExistsError:
            pass
        except OSError:
            os.replace(path, target)
        sync_directory(os.path.dirname(target))

    def put_small(self, digest, data):
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise Trouble("%s arrived damaged; run again" % digest[:19])
        temporary = self.temporary()
        self.write(temporary, data)
        os.replace(temporary, blob(self.models_dir, digest))

    def write(self, path, data):
        with open(path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(path, 0o644)

    def put_manifest(self, name, data):
        """The last step: from now on, the server lists the model."""
        parts = split_name(name)
        if any(part in ("", ".", "..") or "/" in part for part in parts):
            raise Trouble("%s is not a model name" % name)
        sync_directory(os.path.join(self.models_dir, "blobs"))
        for target in targets_of(self.models_dir, name):
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            temporary = self.temporary()
            self.write(temporary, data)
            os.replace(temporary, target)
            sync_directory(os.path.dirname(target))
