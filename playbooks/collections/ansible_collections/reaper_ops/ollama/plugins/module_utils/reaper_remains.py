"""Files that background work leaves on a host when its controller is killed."""

from __future__ import annotations

import contextlib
import os
import re
import time

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tree import directory, is_file, lstat

WATCHED = ("/tmp", re.compile(r"^(\.reaper_ops-pull-[0-9a-f]{16})(\.tmp(?:-\d+)?|\.watched)?$"))
JOBS = ("~/.ansible_async/reaper_ops", re.compile(r"^j[0-9]+\.[0-9]+(\.tmp)?$"))
"""The directory that plugins/action/ollama_pull.py names to Ansible, so that nobody else's jobs are in it."""
STALE = 120
"""Seconds within which a live controller touches or removes every file of its own."""


def clear(now=None):
    """Removes them if no controller follows any work; returns the removed names."""
    now = time.time() if now is None else now
    followed, live = _followed(now)
    return followed if live else [*followed, *_jobs(now)]


def _is_stale(fd, name, now):
    """Whether it is a file of the current user that was not touched for a while."""
    info = lstat(fd, name)
    return info is not None and is_file(info) and info.st_uid == os.geteuid() and now - info.st_mtime > STALE


def _followed(now):
    """The removed progress files, and whether a controller follows some work now."""
    top, form = WATCHED
    with directory(top) as fd:
        found = [match for match in map(form.match, os.listdir(fd)) if match]
        live = {match[1] for match in found if match[2] == ".watched" and _is_fresh(fd, match[0], now)}
        gone = [match[0] for match in found if match[1] not in live and _is_stale(fd, match[0], now)]
        return [os.path.join(top, name) for name in gone if _unlink(fd, name)], bool(live)


def _is_fresh(fd, name, now):
    info = lstat(fd, name)
    return info is not None and info.st_uid == os.geteuid() and now - info.st_mtime <= STALE


def _jobs(now):
    top = os.path.expanduser(JOBS[0])
    if not os.path.isdir(top):
        return []
    with directory(top) as fd:
        gone = [name for name in os.listdir(fd) if JOBS[1].match(name) and _is_stale(fd, name, now)]
        names = [os.path.join(top, name) for name in gone if _unlink(fd, name)]
    with contextlib.suppress(OSError):
        os.rmdir(top)
    return names


def _unlink(fd, name):
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=fd)
        return True
    return False
