"""Model stores with what their manifests list, programs called ollama, and changes to our own files."""

import contextlib
import hashlib
import json
import os
import stat
import sys

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_manifests as manifests
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_command import environ_of, pid_of, run_command
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_host import contents, reason
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_layout import ROOTS, is_shadow
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_traces import said

MAX_STORES = 8
NOT_ITS_OWN = "error the_server_names_it_but_may_not_enter_it %s"
MAX_MANIFESTS = 1000
MAX_BLOBS = 20000
MANIFEST_BYTES = 256 * 1024
FILE_BYTES = 8 << 20
BY_ROOT_ONLY = "only root can test the access of the server's user"
TRY = """\
import errno, os, sys
uid, gids, paths = int(sys.argv[1]), [int(g) for g in sys.argv[2].split(",")], sys.argv[3:]
os.setgroups(gids)
os.setgid(gids[0])
os.setuid(uid)
for need, path in zip(paths[::2], paths[1::2]):
    try:
        os.stat(path + "/.")
        if need == "read":
            os.listdir(path)
        if need == "write" and not os.access(path, os.W_OK | os.X_OK):
            read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            raise OSError(errno.EROFS if read_only else errno.EACCES, "")
    except OSError as exc:
        if exc.errno != errno.ENOENT:
            print(need, errno.errorcode.get(exc.errno, str(exc.errno)), path)
"""


def read_stores(host, ask):
    """Stores in the form of `find -printf '%y %m %U %G %s %T@ %p\\n'`, with `layer DIGEST SIZE PATH` per manifest.

    The server's own store comes first, with the directories above it as `step` lines.
    """
    own = own_store(host, ask)
    found = [place for pattern in ask["others"] for place in tree.matches(os.path.expanduser(pattern))]
    real = {os.path.realpath(own)} if own else set()
    others = []
    for place in found:
        if os.path.realpath(place) not in real and os.path.isdir(place):
            real.add(os.path.realpath(place))
            others.append(place)
    lines = list(steps(own)) if own else []
    for place in ([own] if own else []) + others[:MAX_STORES]:
        lines += store(place) if place != own or may_name(host, ask, own) else [NOT_ITS_OWN % place]
    return said("".join(line + "\n" for line in lines))


def own_store(host, ask):
    """From the running server's environment, otherwise as requested."""
    pid = pid_of(host, ask["server"]) if ask.get("server") else 0
    try:
        environ = environ_of(pid) if pid else {}
    except OSError:
        environ = {}
    home = environ.get("HOME", "")
    asked = os.path.expanduser(ask["path"]) if ask.get("path") else ""
    return environ.get("OLLAMA_MODELS") or asked or (home + "/.ollama/models" if home else "")


def may_name(host, ask, path):
    """Whether root may list the directory: a server that names a store must be able to enter it itself."""
    if os.geteuid() != 0 or path == os.path.expanduser(ask.get("path") or ""):
        return True
    user = owner(host, ask)
    if user is None or user[0] == 0:
        return True
    uid, gids = user
    try:
        with tree.entry(path) as place:
            rows = [os.fstat(fd) for fd in place.fds]
    except OSError:
        return True
    return all(may_enter(info, uid, gids) for info in rows)


def may_enter(info, uid, gids):
    shift = 6 if info.st_uid == uid else 3 if info.st_gid in gids else 0
    return bool(info.st_mode >> shift & 1)


def steps(path):
    """Every existing directory from / to the store."""
    parts = [part for part in path.split("/") if part]
    for number in range(len(parts) + 1):
        place = "/" + "/".join(parts[:number])
        try:
            with tree.entry(place) as there:
                yield "step " + described(os.fstat(there.fd), place)
        except OSError:
            return


def described(info, path):
    kind = "d" if stat.S_ISDIR(info.st_mode) else "l" if stat.S_ISLNK(info.st_mode) else "f"
    numbers = (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_size, int(info.st_mtime))
    return "%s %04o %d %d %d %d %s" % ((kind, *numbers, path))


def store(path):
    try:
        with tree.entry(path) as place:
            yield described(os.fstat(place.fd), path)
        yield from blobs_in(path + "/blobs")
        refused = {}
        for name, paths in list(manifests.entries(path, refused).items())[:MAX_MANIFESTS]:
            for line in lines_of(path, paths, is_shadow(name)):
                yield line
        for where, exc in refused.items():
            yield "error %s %s" % (reason(exc).replace(" ", "_"), where)
    except FileNotFoundError:
        yield "absent %s" % path
    except OSError as exc:
        yield "error %s %s" % (reason(exc).replace(" ", "_"), exc.filename or path)


def blobs_in(path):
    try:
        with tree.directory(path) as fd:
            names = sorted(os.listdir(fd))
            if len(names) > MAX_BLOBS:
                yield "error more_than_%d_blobs %s" % (MAX_BLOBS, path)
                names = []
            yield described(os.fstat(fd), path)
            for name in names:
                info = tree.lstat(fd, name)
                if info is not None:
                    yield described(info, os.path.join(path, name))
    except (FileNotFoundError, NotADirectoryError):
        return


def lines_of(store, paths, shadow):
    """Of what the server reads the entry and its blobs, or what is wrong; of the rest the blobs, as `kept`."""
    if not shadow:
        for line in layers(store, paths):
            yield line
    for path in paths if shadow else paths[1:]:
        for digest in sorted(manifests.named_by(store, path)):
            yield "kept %s %s" % (digest.replace(":", "-"), path)


def layers(store, paths):
    where, sizes, problem = paths[0], {}, ""
    try:
        found = manifests.manifest(store, paths, MANIFEST_BYTES)
        where, sizes = found[0], manifests.sizes_of(store, found)
    except OSError as exc:
        problem = reason(exc).replace(" ", "_")
    except ValueError:
        problem = "no_manifest"
    with contextlib.suppress(OSError), tree.entry(os.path.dirname(where)) as place:
        info = tree.lstat(place.fd, os.path.basename(where))
        if info is not None:
            yield described(info, where)
    if problem:
        yield "error %s %s" % (problem, where)
    for digest, size in sizes.items():
        yield "layer %s %d %s" % (digest.replace(":", "-"), size, where)


def read_identities(_host, ask):
    """`DIGEST OTHER…` for each manifest that a registry has under other digests; see `identities`."""
    rows = sorted(manifests.identities(os.path.expanduser(ask["path"])).items())
    return said("".join("%s %s\n" % (own, " ".join(sorted(others))) for own, others in rows))


def read_access(host, ask):
    """As the server's user: `need errno path` for each directory of the store that it cannot enter, read or write."""
    own = own_store(host, ask)
    user = owner(host, ask)
    if not own or user is None:
        return {"found": False}
    if os.getuid():
        return {"error": BY_ROOT_ONLY}
    wanted = []
    for number in range(len(own.split("/"))):
        wanted += ["enter", "/".join(own.split("/")[: number + 1]) or "/"]
    places = [own, own + "/blobs"]
    for root in ("%s/%s" % (own, name) for name in ROOTS):
        places += [root, *tree.matches("*/*/*", under=root)[:200]]
    for place in places:
        wanted += ["read", place, "write", place]
    uid, gids = user
    argv = [sys.executable or "python3", "-ES", "-c", TRY, str(uid), ",".join(map(str, gids)), *wanted]
    answer = run_command(host, {"argv": argv, "timeout": 4})
    return said(answer["stdout"], found=True) if answer.get("rc") == 0 else answer


def owner(host, ask):
    """(uid, groups) of the running server, otherwise of the user that it would run as."""
    import pwd

    pid = pid_of(host, ask["server"]) if ask.get("server") else 0
    if pid:
        try:
            with open("/proc/%d/status" % pid, encoding="utf-8", errors="replace") as handle:
                rows = dict(line.split(":", 1) for line in handle if ":" in line)
            gid = int(rows["Gid"].split()[1])
            return int(rows["Uid"].split()[1]), [gid] + [int(word) for word in rows["Groups"].split()]
        except (OSError, KeyError, ValueError, IndexError):
            return None
    try:
        entry = pwd.getpwnam(ask["user"])
    except KeyError:
        return None
    return entry.pw_uid, [entry.pw_gid, *os.getgrouplist(entry.pw_name, entry.pw_gid)]


def read_binaries(host, ask):
    """`PATH<tab>output of --version` for every program of that name; without asking the server for its version.

    As root, runs only programs that no other user can have put there.
    """
    places = [os.path.join(folder, ask["name"]) for folder in host.path.split(":") if folder]
    found = {}
    for place in places + [os.path.expanduser(path) for path in ask.get("places", [])]:
        if os.path.isfile(place) and os.access(place, os.X_OK):
            found.setdefault(os.path.realpath(place), place)
    lines = []
    for place in list(found.values())[:8]:
        if is_anybodys(place):
            lines.append("%s\tnot run as root: other users can change it\n" % place)
            continue
        argv = ["env", "OLLAMA_HOST=127.0.0.1:9", place, "--version"]
        answer = run_command(host, {"argv": argv, "timeout": 3, "max_bytes": 4096})
        words = " ".join((answer.get("stdout", "") + " " + answer.get("stderr", "")).split())
        lines.append("%s\t%s\n" % (place, words[:300]))
    return said("".join(lines))


def is_anybodys(path):
    """Whether a user other than root can replace the program."""
    if os.geteuid() != 0:
        return False
    try:
        with tree.entry(path) as place:
            return not tree.shielded(os.fstat(place.fd)) or bool(tree.exposed(os.path.dirname(place.path)))
    except OSError:
        return True


def read_drift(host, ask):
    """`changed PATH` and `missing PATH` for files in our manifest; nothing while a run of ours is unfinished."""
    place = host.place(os.path.expanduser(ask["path"]))
    if not os.path.lexists(place):
        return {"found": False}
    manifest = json.loads(contents(place, {"max_bytes": FILE_BYTES})[0].decode("utf-8"))
    if manifest.get("snapshot") is not None:
        return {"found": False}
    lines = []
    for path, digest in sorted(manifest.get("files", {}).items()):
        lines += drifted(path, digest)
    for path, target in sorted(manifest.get("links", {}).items()):
        if not os.path.lexists(path):
            lines.append("missing %s\n" % path)
        elif not points_to(path, target):
            lines.append("changed %s\n" % path)
    lines += ["missing %s\n" % path for path in sorted(manifest.get("releases", [])) if not os.path.lexists(path)]
    return said("".join(lines), found=True)


def drifted(path, digest):
    """Files without a hash, such as logs, may come and go."""
    if not digest:
        return []
    if not os.path.lexists(path):
        return ["missing %s\n" % path]
    try:
        raw, cut = contents(path, {"max_bytes": FILE_BYTES})
    except OSError as exc:
        return ["unread %s: %s\n" % (path, reason(exc))]
    return [] if not cut and hashlib.sha256(raw).hexdigest() == digest else ["changed %s\n" % path]


def points_to(path, target):
    written = os.path.join(os.path.dirname(path), os.readlink(path)) if os.path.islink(path) else ""
    wanted = os.path.join(os.path.dirname(path), target)
    return bool(written) and (
        os.path.normpath(written) == os.path.normpath(wanted) or os.path.realpath(written) == os.path.realpath(wanted)
    )
