"""A place beside the blobs of a model store, where downloads wait until their SHA-256 is known."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time

from ansible.module_utils.reaper_contents import place_of
from ansible.module_utils.reaper_files import Trouble, sync_directory
from ansible.module_utils.reaper_rules import split_name
from ansible.module_utils.reaper_torrent import blob, named

NAME = ".reaper"
KEPT = 7 * 24 * 3600


class Staging:
    def __init__(self, models_dir):
        self.models_dir, self.path = models_dir, os.path.join(models_dir, NAME)

    def make(self):
        for path in (self.path, os.path.join(self.models_dir, "blobs"), os.path.join(self.models_dir, "manifests")):
            os.makedirs(path, mode=0o755, exist_ok=True)
        self.tidy(False)

    def at(self, digest):
        return os.path.join(self.path, named(digest))

    def tidy(self, _purge):
        """What is in the store by now goes, and so does what nobody went on with for a week."""
        for name in os.listdir(self.path):
            path = os.path.join(self.path, name)
            with contextlib.suppress(OSError):
                stored = os.path.exists(os.path.join(self.models_dir, "blobs", name.replace(".aria2", "")))
                if name.startswith("sha256-") and (stored or time.time() - os.stat(path).st_mtime > KEPT):
                    os.unlink(path)

    def put_in(self, digest):
        """A whole blob of the right SHA-256 gets its name in the store; what is sent on stays under the first."""
        path, target = self.at(digest), blob(self.models_dir, digest)
        os.chmod(path, 0o644)
        with open(path, "rb") as file:
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
            raise Trouble("%s came damaged; run again" % digest[:19])
        self.write(self.at(digest), data)
        os.replace(self.at(digest), blob(self.models_dir, digest))

    def write(self, path, data):
        with open(path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(path, 0o644)

    def put_manifest(self, name, data):
        """The last step: from now on the server lists the model."""
        parts = split_name(name)
        if any(part in ("", ".", "..") or "/" in part for part in parts):
            raise Trouble("%s is no name of a model" % name)
        target = place_of(self.models_dir, name)
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        temporary = os.path.join(self.path, "manifest.%d" % os.getpid())
        self.write(temporary, data)
        sync_directory(os.path.join(self.models_dir, "blobs"))
        os.replace(temporary, target)
        sync_directory(os.path.dirname(target))
