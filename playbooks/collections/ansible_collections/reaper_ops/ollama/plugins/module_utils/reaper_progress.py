"""Reports the progress of a download to its controller, and notices when the controller is gone."""

from __future__ import annotations

import contextlib
import json
import os
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_registry import missing
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tally import Tally

ABANDONED = 120
SNAPSHOT_EVERY = 0.25


class Stopped(Exception):
    """The controller is gone; downloaded data stays for the next run."""


class Progress:
    """Snapshots of the current model for the controller; also notices when the controller is gone."""

    def __init__(self, params):
        self.path, self.heartbeat = params["progress_file"], params["heartbeat"]
        self.abandoned = params.get("abandoned") or ABANDONED
        self.written, self.tally = 0.0, Tally("", {})

    def model_starts(self, name, sizes, models_dir):
        done = [digest for digest in sizes or {} if models_dir and not missing({digest: 1}, models_dir)]
        self.tally = Tally(name, sizes, done)
        self.event({"status": "starting"}, force=True)

    def event(self, line, force=False):
        now = time.time()
        self.tally.take(line)
        if now - self.written < SNAPSHOT_EVERY and not force:
            return
        self.watched(now)
        self.write(json.dumps(dict(self.tally.row(line), t=now, pid=os.getpid())) + "\n")
        self.written = now

    def watched(self, now):
        if not self.heartbeat:
            return
        try:
            with tree.as_started():
                age = now - os.stat(self.heartbeat).st_mtime
        except OSError:
            age = self.abandoned + 1
        if age > self.abandoned:
            raise Stopped

    def write(self, text):
        if self.path:
            with tree.as_started(), tree.directory(os.path.dirname(self.path)) as above:
                tree.replace(above, os.path.basename(self.path), text.encode("utf-8"), 0o600, durable=False)

    def end(self):
        """The controller removes the file: in a world-writable directory, its name would be free for a link."""
        if self.path and not self.heartbeat:
            with tree.as_started(), contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
