"""Where reaper_read looks, and how text leaves the host: bounded and without secrets."""

import json
import os
import re
import signal
import time

from ansible.module_utils import reaper_tree as tree

MAX_BYTES = 256 * 1024
MAX_NAMES = 20000
MAX_EARLY = 400
MAX_LINE = 4000
MAX_LINES = 640 * 1024
SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/wsl/lib"
NAMED = (
    r"(?:token|secret|passw(?:or)?d|passphrase|(?<![a-z])pass|credentials?|signature|(?<=[a-z0-9])_(?:key|pwd)"
    r"|(?:api|access|secret|private)[-_]?key|(?<![a-z])sig)"
    r"(?:[-_](?:v?\d{1,6}|old|new|prev(?:ious)?|backup|bak|prod|dev|test|live|staging|b(?:ase)?64)){0,2}"
)
VALUE = r"[^\s\0,;&\"'\])}]+"
SECRETS = tuple(
    (re.compile(pattern, re.IGNORECASE), r"\1***" + after)
    for pattern, after in (
        (r"(://[^/\s:\"'\[]{0,99}:)(?!\d{1,5}[/?#])[^\s\0\"']{1,299}@", "@"),
        (r"(://)[^/\s:@\"']{1,299}@", "@"),
        (r"(_proxy[=:][\"']?[^/\s:@\"'=]{1,99}:)[^\s\0\"'/]{1,299}@", "@"),
        (r"(authorization[\"']?\s?[:=]\s{0,9}[\[\"']{0,2}(?:(?:bearer|basic|digest|token)\s)?)[^\s\0\"'\]]+", ""),
        (r"(\bbearer\s)(?=\S{0,99}\d)[\w.~+/=-]{8,}", ""),
        (r"(" + NAMED + r"(?:=[\"']?|[\"']\s{0,9}:\s{0,9}[\"']))(?:(?<=[\"'])[^\"'\0\n]+|" + VALUE + ")", ""),
        (r"(\"auth\"\s{0,9}:\s{0,9}\")[^\"]+", ""),
        (r"((?:[-_](?:token|secret|pass)|api[-_]key|passw(?:or)?d|passphrase):\s{0,9}[\"']?)" + VALUE, ""),
        (r"(cookie[\"']?\s?[:=]\s{0,9}[\[\"']{0,2})[^\r\n\0\"'\\]{1,4096}", ""),
        (r"(\blogin\s{1,9}\S{1,99}\s{1,9}password\s{1,9})\S{1,299}", ""),
        (r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[A-Za-z0-9+/=\s\\]{1,20000}", ""),
        (r"(--(?:\w[\w-]{0,30}?)?" + NAMED + r"[\s\0])" + VALUE, ""),
        (r"\b(hf_|gh[opsu]_|github_pat_|glpat-|sk-|nvapi-)[\w-]{16,}", ""),
    )
)


class Host:
    """Where to look, and what is still running when the time is over."""

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
        """The path to open for `path`: the stand-in where there is one."""
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


def redact(text):
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def redact_words(words):
    """A command line, where a word may say what the next one is."""
    return redact("\0".join(map(str, words))).split("\0") if words else []


def chosen(ask, raw):
    """Text of `raw` cut to the lines that were asked for, with secrets replaced."""
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
    """The last lines that an answer has room for, as JSON writes them; of a long line the beginning."""
    kept, room = [], MAX_LINES
    for line in reversed(lines):
        line = line[:MAX_LINE]
        room -= len(json.dumps(line))
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def contents(place, ask):
    """(raw bytes, was it cut) of a regular file: no device or pipe is opened, and no link of a stranger followed."""
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
