"""The versions of Ollama in one directory: which are ours, which is in use, how they are removed."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble, read_json, remove

MARKER = ".reaper_ops.json"
INCOMING = ".incoming"
"""Archives that are not verified yet; only root can enter."""
LEFT_BY_KILL = re.compile(r"^\.(.+)\.(tmp|old)-\d+$")


def read_marker(directory):
    return read_json(os.path.join(directory, MARKER))


def versions(dest):
    """Our versions in `dest`, the most recently activated first."""
    try:
        names = [name for name in os.listdir(dest) if not name.startswith(".")]
    except OSError:
        return []
    found = {}
    for name in names:
        marker = os.path.join(dest, name, MARKER)
        if not os.path.islink(os.path.join(dest, name)) and os.path.isfile(marker):
            found[name] = os.stat(marker).st_mtime_ns
    return sorted(found, key=lambda name: -found[name])


def linked(link):
    return os.path.basename(os.readlink(link)) if os.path.islink(link) else None


def retire(dest, version):
    """Removes a version atomically; its remains are removed as stale, by this run or the next."""
    directory = os.path.join(dest, version)
    if os.path.lexists(directory):
        os.rename(directory, os.path.join(dest, ".%s.old-%d" % (version, os.getpid())))


def stale(params, wanted=None):
    """Leftovers of killed runs; keeps partial downloads and archives of the wanted version for this run."""
    dest, link = params["dest"], params["link"]
    names = os.listdir(dest) if os.path.isdir(dest) else []
    left = [name for name in names if LEFT_BY_KILL.match(name) or (name == INCOMING and not wanted)]
    left += [n for n in names if re.match(r"^\..*\.part$", n) and not n.startswith(".%s-" % wanted)]
    return [os.path.join(dest, name) for name in left] + glob.glob(glob.escape(link) + ".tmp-*")


@contextlib.contextmanager
def alone(dest):
    with tree.directory(dest, make=0o755) as fd:
        handle = os.dup(fd)
    try:
        where = tree.exposed(dest)
        if where:
            raise Trouble("%s: other users can change %s, so nothing is installed there as root" % (dest, where))
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Trouble("%s: another run is installing here; wait for it to end" % dest) from None
    finally:
        os.close(handle)


def absent(params, check):
    """Removes one version or all of ours; foreign files in the directory stay."""
    dest, link = params["dest"], params["link"]
    doomed = [name for name in versions(dest) if params["version"] in (None, name)]
    before = linked(link)
    ours = before and os.path.realpath(link) == os.path.realpath(os.path.join(dest, before))
    paths = [link] if ours and (before in doomed or not os.path.exists(link)) else []
    rest = [] if params["version"] else stale(params)
    if not check and (paths or doomed or rest):
        with alone(dest):
            for path in paths:
                os.unlink(path)
            for name in doomed:
                retire(dest, name)
            for path in stale(params):
                remove(path)
            with contextlib.suppress(OSError):
                os.rmdir(dest)
    gone = paths + [os.path.join(dest, name) for name in doomed] + rest
    result = {"changed": bool(gone), "path": dest, "pruned": doomed, "bytes": 0, "previous": before}
    result["diff"] = {"before": "".join(path + "\n" for path in gone), "after": ""}
    return result
