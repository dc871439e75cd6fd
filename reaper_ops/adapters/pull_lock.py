"""One pull per server from this machine: a lock file in the user's cache that says who holds it and since when.

It keeps a second run of the same user from doing the work twice. Other controllers need no lock: a server joins
downloads of the same blob, and the steps of a pull put up with others that do the same.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reaper_ops.core.models import pull_lock
from reaper_ops.core.models.pull_steps import Trouble

FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def held(url: str, owner: str) -> Iterator[None]:
    """Trouble where another run has it. The lock goes with its process; without a place for the file there is none."""
    try:
        descriptor = os.open(_file(url), FLAGS, 0o600)
    except OSError:
        yield
        return
    with os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Trouble(pull_lock.busy(url, file.read(4096), time.time())) from None
        file.truncate(0)
        file.write(json.dumps({"owner": owner, "pid": os.getpid(), "since": int(time.time()), "url": url}) + "\n")
        file.flush()
        yield
        file.truncate(0)


def owner() -> str:
    """Who holds a lock, as its file says, on hosts too."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _file(url: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reaper_ops" / "pulls"
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.lock"
