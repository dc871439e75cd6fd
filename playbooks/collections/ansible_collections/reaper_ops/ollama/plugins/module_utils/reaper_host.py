"""Where reaper_read reads, and how text leaves the host: limited in size and without secrets."""

import json
import os
import re
import signal
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import redact, redact_words  # noqa: F401 - those that read take them from here

MAX_BYTES = 256 * 1024
MAX_NAMES = 20000
MAX_EARLY = 400
MAX_LINE = 4000
MAX_LINES = 640 * 1024
SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/wsl/lib"


class Host:
    """Where to read, and what is still running at the deadline."""

    def __init__(self, root, deadline):
        self.root = root.rstrip("/") if root else None
        self.deadline = deadline
        self.running = set()
        path = os.environ.get("PATH", "") + ":" + SBIN
        self.path = (self.root + "/bin:" + path) if self.root else path
        self.env = dict(os.environ, LC_ALL="C", PATH=self.path, NO_COLOR="1")

    def left(self, seconds):
        return max(0.05, min(float(seconds), self.deadline - time.monotonic()))

    def place(self, path):
        """The path to open for `path`: its stand-in if there is one."""
        if self.root and os.path.lexists(self.root + path):
            return self.root + path
        return path

    def stop(self):
        for process in list(self.running):
            kill(process)


def kill(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def chosen(ask, raw):
    """Text of `raw`, cut to the requested lines, with secrets replaced."""
    text = raw.decode("utf-8", "replace")
    if not ("grep" in ask or "lines" in ask):
        return redact(text)
    lines = text.splitlines()
    if "grep" in ask:
        lines = [line for line in lines if re.search(ask["grep"], line)]
    first = max(0, len(lines) - int(ask.get("lines", MAX_NAMES)))
    early = [line for line in lines[:first] if re.search(ask["also"], line)] if "also" in ask else []
    found = redact("\n".join(early[-MAX_EARLY:] + lines[first:]))
    return "".join(line + "\n" for line in fitting(found.splitlines()))


def fitting(lines):
    """The last lines that fit an answer as JSON; a long line is cut at its end."""
    kept, room = [], MAX_LINES
    for line in reversed(lines):
        line = line[:MAX_LINE]
        room -= len(json.dumps(line))
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def contents(place, ask):
    """(raw bytes, was it cut) of a regular file; opens no device or pipe, and follows no link of another user."""
    limit = int(ask.get("max_bytes", MAX_BYTES))
    with tree.reading(place) as handle:
        info = os.fstat(handle.fileno())
        if ask.get("tail") and info.st_size > limit:
            handle.seek(-limit, os.SEEK_END)
            return handle.read(limit), True
        raw = handle.read(limit + 1)
    return raw[:limit], len(raw) > limit


def beside(place, ask):
    try:
        return redact(contents(place, ask)[0].decode("utf-8", "replace"))
    except OSError:
        return None


def reason(exc):
    return exc.strerror if isinstance(exc, OSError) and exc.strerror else "%s: %s" % (type(exc).__name__, exc)
