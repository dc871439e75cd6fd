"""File operations that our modules share: atomic writes, durable renames, errors with a next step.

They open files through `reaper_tree`, so that root follows no link that another user created.
"""

from __future__ import annotations

import json
import os
import stat

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_rules import Trouble as Trouble


def sync_directory(path):
    with tree.directory(path or ".") as fd:
        os.fsync(fd)


def write_atomic(path, text, mode=None):
    """Replaces `path` atomically; keeps owner and mode of the old file unless `mode` is given."""
    name = os.path.basename(path)
    with tree.directory(os.path.dirname(path)) as above:
        old = tree.lstat(above, name)
        if old is not None and tree.is_link(old) and tree.may_follow(os.fstat(above), old):
            old = os.stat(path) if os.path.exists(path) else None
        kept = old if old is not None and tree.is_file(old) else None
        if mode is None:
            mode = stat.S_IMODE(kept.st_mode) if kept else 0o644
        tree.replace(above, name, text.encode("utf-8"), mode, (kept.st_uid, kept.st_gid) if kept else None)


def read_json(path):
    """The document in `path`; None when there is no such file or it is not JSON."""
    try:
        with tree.reading(path) as file:
            return json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def unlink(path):
    """Removes a file or a link, in a directory that is reached through no link of another user."""
    with tree.entry(os.path.dirname(path)) as place:
        os.unlink(os.path.basename(path), dir_fd=place.fd)


def remove(path):
    tree.remove_path(path)
