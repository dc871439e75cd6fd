"""Tells how far a download is, to whoever watches; and notices when nobody does any more."""

from __future__ import annotations

import contextlib
import json
import os
import time

from ansible.module_utils.reaper_registry import missing

ABANDONED = 120
SNAPSHOT_EVERY = 0.25


class Stopped(Exception):
    """The caller is gone; what was downloaded stays for the next run."""


class Progress:
    """Snapshots of the present model for whoever watches; also notices when nobody does any more."""

    def __init__(self, params):
        self.path, self.heartbeat = params["progress_file"], params["heartbeat"]
        self.written, self.sizes, self.model, self.done = 0.0, {}, "", set()

    def model_starts(self, name, sizes, models_dir):
        self.model, self.sizes, self.done = name, sizes or {}, set()
        if models_dir:
            self.done = {digest for digest in self.sizes if not missing({digest: 1}, models_dir)}
        self.event({"status": "starting"}, force=True)

    def event(self, line, force=False):
        now = time.time()
        if now - self.written < SNAPSHOT_EVERY and not force:
            return
        self.watched(now)
        layer, completed, total = line.get("digest"), line.get("completed", 0), line.get("total", 0)
        if layer and total and completed == total:
            self.done.add(layer)
        whole = sum(size for digest, size in self.sizes.items() if digest in self.done)
        whole += completed if layer not in self.done else 0
        row = {"model": self.model, "layer": layer, "completed": completed, "total": total, "t": now}
        row.update(status=line.get("status", ""), pid=os.getpid())
        row.update(model_completed=whole if self.sizes else None, model_total=sum(self.sizes.values()) or None)
        self.write(json.dumps(row) + "\n")
        self.written = now

    def watched(self, now):
        if not self.heartbeat:
            return
        try:
            age = now - os.stat(self.heartbeat).st_mtime
        except OSError:
            age = ABANDONED + 1
        if age > ABANDONED:
            raise Stopped

    def write(self, text):
        if self.path:
            temporary = self.path + ".tmp"
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, self.path)

    def end(self):
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
