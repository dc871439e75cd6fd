"""Files, globs, directories and file systems."""

import hashlib
import os
import re
import stat

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import (
    MAX_NAMES,
    beside,
    chosen,
    contents,
    reason,
)


def expanded(path):
    return os.path.expanduser(path)


def described(path, place):
    info = os.lstat(place)
    found = {
        "path": path,
        "kind": "other",
        "mode": "%04o" % stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "size": info.st_size,
        "mtime": int(info.st_mtime),
    }
    kinds = (
        ("link", stat.S_ISLNK),
        ("file", stat.S_ISREG),
        ("dir", stat.S_ISDIR),
        ("char", stat.S_ISCHR),
        ("block", stat.S_ISBLK),
    )
    found["kind"] = next((name for name, test in kinds if test(info.st_mode)), "other")
    if found["kind"] == "link":
        found["link"] = os.readlink(place)
    return found


def read_file(host, ask):
    path = expanded(ask["path"])
    place = host.place(path)
    if is_absent(place):
        return {"path": path, "exists": False}
    answer = dict(described(path, place), exists=True)
    if not os.path.isfile(place):
        return answer
    raw, cut = contents(place, ask)
    answer.update(content=chosen(ask, raw), truncated=cut)
    if not cut:
        answer["sha256"] = hashlib.sha256(raw).hexdigest()
    return answer


def is_absent(place):
    """False also without permission to look: opening the path then reports the error."""
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def read_glob(host, ask):
    matches, refused = [], {}
    for pattern in ask["patterns"]:
        pattern = expanded(pattern)
        fixed = os.path.dirname(re.split(r"[*?\[]", pattern, maxsplit=1)[0])
        prefix = host.root if host.root and os.path.lexists(host.root + fixed) else ""
        for place in tree.matches(pattern.lstrip("/"), refused, under=prefix or "/"):
            found = matched(place[len(prefix) :], place, ask)
            if found:
                matches.append(found)
            if len(matches) >= MAX_NAMES:
                return {"matches": matches, "truncated": True}
    unread = [{"path": path, "error": error.strerror} for path, error in refused.items()]
    return {"matches": matches + unread}


def matched(path, place, ask):
    try:
        found = described(path, place)
        if ask.get("content"):
            found["content"] = chosen(ask, contents(place, ask)[0])
            if "match" in ask and not re.search(ask["match"], found["content"]):
                return None
        if "beside" in ask:
            near = os.path.dirname(place)
            found["beside"] = {name: beside(os.path.join(near, name), ask) for name in ask["beside"]}
    except OSError as exc:
        return {"path": path, "error": reason(exc)}
    return found


def read_statvfs(host, ask):
    return {"paths": {path: space(host, expanded(path)) for path in ask["paths"]}}


def space(host, path):
    try:
        existing = path
        while not os.path.exists(host.place(existing)) and existing != "/":
            existing = os.path.dirname(existing)
        real = os.path.realpath(host.place(existing))
        size = os.statvfs(real)
        mount, fstype, source = mounted(real)
    except OSError as exc:
        return {"path": path, "error": reason(exc)}
    return {
        "path": path,
        "existing": existing,
        "mount": mount,
        "fstype": fstype,
        "source": source,
        "free": size.f_bavail * size.f_frsize,
        "total": size.f_blocks * size.f_frsize,
        "inodes_free": size.f_favail,
        "inodes_total": size.f_files,
        "readonly": bool(size.f_flag & os.ST_RDONLY),
        "noexec": bool(size.f_flag & os.ST_NOEXEC),
    }


def mounted(real):
    best = ("/", "", "")
    with open("/proc/self/mountinfo", "rb") as handle:
        for line in handle.read().decode("utf-8", "replace").splitlines():
            left, _, right = line.partition(" - ")
            point = re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), left.split()[4])
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best[0]):
                best = (point, right.split()[0], right.split()[1])
    return best


def read_dir(host, ask):
    path = expanded(ask["path"])
    place = host.place(path)
    if is_absent(place):
        return {"path": path, "exists": False, "names": []}
    with tree.directory(place) as fd:
        names = sorted(os.listdir(fd))
    return {"path": path, "exists": True, "names": names[:MAX_NAMES], "truncated": len(names) > MAX_NAMES}
