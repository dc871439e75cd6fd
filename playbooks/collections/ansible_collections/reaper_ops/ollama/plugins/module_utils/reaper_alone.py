"""One pull per host at a time: a lock file that records its owner and start time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble

PATIENCE = 150


@contextlib.contextmanager
def alone(path, owner):
    """One pull per host at a time; the lock is released with its process, however that ends."""
    if not path or not os.path.isdir(os.path.dirname(path)):
        yield
        return
    with tree.directory(os.path.dirname(path)) as above:
        lock = os.open(os.path.basename(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=above)
    with open(lock, "r+", encoding="utf-8") as file:
        take(file, path, owner)
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"owner": owner or "unknown", "since": int(time.time()), "pid": os.getpid()}) + "\n")
        file.flush()
        yield
        file.seek(0)
        file.truncate()


def take(file, path, owner):
    """Waits only for an earlier run of the same owner, which ends when it notices that its controller is gone."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            text = file.read()
        if not owner or holder(text).get("owner") != owner or time.monotonic() > until:
            raise Trouble(busy(path, text))
        time.sleep(0.5)


def holder(text):
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def busy(path, text):
    try:
        held = holder(text)
        who = "%s for %d s (process %d)" % (held["owner"], time.time() - held["since"], held["pid"])
    except (KeyError, TypeError):
        who = "somebody else"
    return "%s: another pull is running on this host, by %s; wait for it to end, or stop it there" % (path, who)
