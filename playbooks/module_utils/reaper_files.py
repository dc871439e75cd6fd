"""Small things on disk that our modules share: atomic writes, durable renames, trouble with a next step."""

from __future__ import annotations

import contextlib
import json
import os
import shutil

from ansible.module_utils.reaper_rules import Trouble as Trouble


def sync_directory(path):
    handle = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path, text, mode=None):
    """Replaces `path` in one step; keeps owner and mode of the old file unless `mode` is given."""
    temporary = "%s.tmp-%d" % (path, os.getpid())
    old = os.stat(path) if os.path.exists(path) else None
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if old:
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
        os.fchmod(file.fileno(), mode if mode is not None else (old.st_mode & 0o7777 if old else 0o644))
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def read_json(path):
    """The document in `path`; None when there is no such file or it is not JSON."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
