"""A directory for a server: the path to it, its contents, and what the server's user and root may do there."""

import os
import pwd
import stat
import sys

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_command import run_command
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_stores import TRY, owner

UNTOUCHED = ("lost+found",)


def read_place(host, ask):
    """steps: from / down to the last existing part; entries: without what the file system itself keeps there."""
    path = os.path.normpath(ask["path"])
    steps = list(steps_to(path))
    exists = bool(steps) and steps[-1]["path"] == path
    last = steps[-1]["path"] if steps else "/"
    answer = {"path": path, "exists": exists, "steps": steps, "entries": None}
    answer["root_may_write"] = os.access(last, os.W_OK) if os.getuid() == 0 else None
    if exists and steps[-1]["directory"]:
        try:
            answer["entries"] = len([name for name in os.listdir(path) if name not in UNTOUCHED])
        except OSError:
            answer["entries"] = None
    found = owner(host, ask)
    if found:
        answer["uid"], answer["gids"] = found[0], found[1]
        if os.getuid() == 0:
            answer["denied"] = tried(host, found, steps, exists)
    return answer


def steps_to(path):
    names = [name for name in path.split("/") if name]
    for number in range(len(names) + 1):
        place = "/" + "/".join(names[:number])
        try:
            info = os.stat(place)
        except OSError:
            return
        yield described(place, info)


def read_exposed(_host, ask):
    """Where on the way to a directory, or in it, another user can lead this one elsewhere; None where nobody can."""
    path = os.path.abspath(os.path.expanduser(ask["path"]))
    try:
        there = tree.resolved(path)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        where = tree.exposed(there)
    except tree.Refused as error:
        where = error.filename
    return {"path": path, "where": described(where, os.lstat(where)) if where else None}


def described(path, info):
    return {
        "path": path,
        "mode": "%04o" % stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "owner": name_of(info.st_uid),
        "directory": stat.S_ISDIR(info.st_mode),
    }


def name_of(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def tried(host, user, steps, exists):
    """Paths that the user cannot enter, or the last one that it cannot write; None when that could not be tried."""
    wanted = []
    for step in steps:
        wanted += ["enter", step["path"]]
    if exists:
        wanted += ["write", steps[-1]["path"]]
    argv = [sys.executable or "python3", "-ES", "-c", TRY, str(user[0]), ",".join(map(str, user[1])), *wanted]
    answer = run_command(host, {"argv": argv, "timeout": 4})
    if answer.get("rc") != 0:
        return None
    return [line.split(" ", 2)[2] for line in answer["stdout"].splitlines() if line.count(" ") >= 2]
