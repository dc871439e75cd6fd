"""Access to directories that other users can write: by descriptors, and without following links they may have created.

Without root, paths work as usual. As root, a link is followed only if no other user can have created it.
"""

import contextlib
import errno
import fnmatch
import os
import re
import stat

MOST_LINKS, DEEPEST = 40, 64
PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NOT_FOLLOWED = "is a link of user %d; links are not followed"
KERNEL = re.compile(r"^/proc/\d+/[a-z_]+$")
"""Files that only the kernel creates; one process list reads hundreds of them."""
MAGIC = re.compile(r"[*?\[]")
SYSTEM = frozenset(
    (
        *("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/media", "/mnt", "/opt"),
        *("/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/libexec"),
        *("/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/sbin", "/usr/share", "/var", "/var/cache"),
        *("/var/lib", "/var/log", "/var/mail", "/var/run", "/var/spool", "/var/tmp"),
    )
)


class Refused(OSError):
    """Root would act on what another user controls."""

    def __init__(self, path, why):
        super().__init__(errno.EPERM, why, path)

    def __str__(self):
        return "%s: %s" % (self.filename, self.strerror)


class Place:
    """An entry of a directory: open descriptors of both, its name, and its path with links resolved."""

    def __init__(self, fds, names):
        self.fds, self.fd, self.above = fds, fds[-1], fds[-2] if len(fds) > 1 else fds[-1]
        self.name, self.path = names[-1] if names else ".", "/" + "/".join(names)

    def close(self):
        for fd in self.fds:
            os.close(fd)


def shielded(info):
    """Whether only root and the current user can change the contents of a directory."""
    return info.st_uid in (0, os.geteuid()) and not info.st_mode & 0o022


def may_follow(where, link):
    return os.geteuid() != 0 or shielded(where) or (link.st_uid == 0 and link.st_nlink == 1)


def is_foreign_name(where, info):
    """Whether it is a hard link to another user's file, in a directory that others can write."""
    theirs = info.st_uid != where.st_uid or where.st_uid == 0
    return os.geteuid() == 0 and info.st_nlink > 1 and theirs and not shielded(where)


def pieces(path):
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def step(above, name, make):
    """The entry's descriptor, opened without reading or blocking."""
    try:
        return os.open(name, PATH, dir_fd=above)
    except FileNotFoundError:
        if make is None:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, make, dir_fd=above)
    return os.open(name, PATH | os.O_DIRECTORY, dir_fd=above)


def walk(path, make=None):
    """The Place of `path`. make: the mode of missing directories, which are created."""
    todo, fds, names, links = pieces(os.path.join(os.getcwd(), path)), [os.open("/", PATH)], [], 0
    try:
        while todo:
            name = todo.pop()
            if name == "..":
                for fd in fds[1:][-1:]:
                    os.close(fd)
                fds, names = fds[: max(1, len(fds) - 1)], names[:-1]
                continue
            fds.append(step(fds[-1], name, make))
            info = os.fstat(fds[-1])
            if not stat.S_ISLNK(info.st_mode):
                names.append(name)
                continue
            links += 1
            if links > MOST_LINKS or not may_follow(os.fstat(fds[-2]), info):
                raise Refused("/".join(["", *names, name]), NOT_FOLLOWED % info.st_uid)
            target = os.readlink("", dir_fd=fds[-1])
            os.close(fds.pop())
            while target.startswith("/") and len(fds) > 1:
                os.close(fds.pop())
            names = [] if target.startswith("/") else names
            todo += pieces(target)
        return Place(fds, names)
    except OSError as error:
        for fd in fds:
            os.close(fd)
        raise error if isinstance(error, Refused) else OSError(error.errno, error.strerror, path) from None


@contextlib.contextmanager
def entry(path, make=None):
    place = walk(path, make)
    try:
        yield place
    finally:
        place.close()


@contextlib.contextmanager
def directory(path, make=None):
    """The open descriptor of a directory."""
    with entry(path, make) as place:
        try:
            fd = os.open(".", FOLDER, dir_fd=place.fd)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def folder(above, name, path):
    """The open descriptor of a directory in a directory; refuses links and mount points."""
    try:
        fd = os.open(name, FOLDER, dir_fd=above)
    except OSError as error:
        info = lstat(above, name)
        if info and is_link(info):
            raise Refused(path, NOT_FOLLOWED % info.st_uid) from None
        raise OSError(error.errno, error.strerror, path) from None
    try:
        if mount_of(fd) != mount_of(above):
            raise Refused(path, "another file system is mounted there")
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def inside(top, parts, path, make=None):
    """The open descriptor of a directory some steps below an open one; no step may be a link or a mount.

    make: the mode of created directories; they get the owner of their parent.
    """
    with contextlib.ExitStack() as stack:
        fd = top
        for part in parts:
            path, above, made = os.path.join(path, part), fd, False
            with contextlib.suppress(FileExistsError):
                if make is not None:
                    os.mkdir(part, make, dir_fd=above)
                    made = True
            fd = stack.enter_context(folder(above, part, path))
            info = os.fstat(above)
            if made and os.geteuid() == 0:
                give(fd, info.st_uid, info.st_gid)
        yield fd


def lstat(above, name):
    try:
        return os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_link(info):
    return stat.S_ISLNK(info.st_mode)


def is_folder(info):
    return stat.S_ISDIR(info.st_mode)


def is_file(info):
    return stat.S_ISREG(info.st_mode)


def mount_of(fd):
    """Also detects a bind mount of the same file system."""
    try:
        with open("/proc/self/fdinfo/%d" % fd, encoding="ascii") as file:
            found = re.search(r"^mnt_id:\s*(\d+)", file.read(), re.MULTILINE)
    except PermissionError:
        found = None
    return found.group(1) if found else str(os.fstat(fd).st_dev)


def exposed(path):
    """The first directory on the path, or the path itself, that another user can change; empty if there is none.

    In a sticky directory such as /tmp, root's own directories are safe.
    """
    if os.geteuid() != 0:
        return ""
    with entry(path) as place:
        rows = [os.fstat(fd) for fd in place.fds]
        parts = place.path.split("/")
    for depth, info in enumerate(rows):
        below_it = rows[depth + 1 : depth + 2]
        kept = info.st_uid == 0 and info.st_mode & stat.S_ISVTX and below_it and below_it[0].st_uid == 0
        if is_folder(info) and not shielded(info) and not kept:
            return "/".join(parts[: depth + 1]) or "/"
    return ""


def resolved(path):
    """The path with links resolved; its last parts need not exist."""
    missing, there = [], os.path.join(os.getcwd(), path).rstrip("/") or "/"
    while True:
        try:
            with entry(there) as place:
                break
        except FileNotFoundError:
            there, _, name = there.rpartition("/")
            there = there or "/"
            missing.append(name)
    if ".." in missing:
        raise Refused(path, "has .. below a missing directory")
    return "/".join([place.path.rstrip("/"), *reversed(missing)]) or "/"


def beneath(path, top):
    return path == top or path.startswith(top.rstrip("/") + "/")


def within(path, tops):
    """The path with links resolved; Refused unless it lies in one of the directories, which exclude the system's."""
    if ".." in path.split("/") or not path.startswith("/"):
        raise Refused(path, "is not a plain absolute path")
    real, known = resolved(path), [resolved(top) for top in tops if top]
    if not any(beneath(real, top) for top in known if top not in SYSTEM):
        raise Refused(path, "lies outside %s; nothing is changed there" % (" and ".join(tops) or "our own directories"))
    return real


def open_at(above, name, path, flags=os.O_RDONLY, linked=False):
    """The descriptor of a regular file, opened without blocking. linked: allows a hard link to another user's file."""
    info = lstat(above, name)
    if info is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if not is_file(info):
        raise Refused(path, "is not a regular file")
    try:
        fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    info = os.fstat(fd)
    if not is_file(info) or (is_foreign_name(os.fstat(above), info) and not linked):
        os.close(fd)
        raise Refused(path, "is not a regular file" if not is_file(info) else "is a hard link to another user's file")
    return fd


def open_file(path, flags=os.O_RDONLY, linked=False):
    """As `open_at`, for a path resolved with the rules of this module."""
    if KERNEL.match(path):
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with entry(path) as place:
        return open_at(place.above, place.name, path, flags, linked)


def reading(path, linked=False):
    return os.fdopen(open_file(path, linked=linked), "rb")


def below(fd, path, left=None, depth=0):
    """(descriptor of its directory, name, lstat, path) of everything in a directory, a directory after its contents.

    Links are entries. left: collects mount points, which are not entered; without it, they are an error.
    """
    if depth > DEEPEST:
        raise Refused(path, "is deeper than %d directories" % DEEPEST)
    for name in sorted(os.listdir(fd)):
        at, info = os.path.join(path, name), lstat(fd, name)
        if info is not None and is_folder(info):
            inner = entered(fd, name, at, left)
            if inner is not None:
                try:
                    yield from below(inner, at, left, depth + 1)
                finally:
                    os.close(inner)
        if info is not None:
            yield fd, name, info, at


def entered(above, name, path, left):
    """None when the directory is gone or skipped."""
    try:
        with folder(above, name, path) as fd:
            return os.dup(fd)
    except FileNotFoundError:
        return None
    except Refused as error:
        if left is None:
            raise
        left[path] = error
        return None


def remove(above, name, path, depth=0):
    """Removes a file, a link or a whole directory; a mount in it stays and is an error."""
    info = lstat(above, name)
    if depth > DEEPEST:
        raise Refused(path, "is deeper than %d directories" % DEEPEST)
    with contextlib.suppress(FileNotFoundError):
        if info is not None and is_folder(info):
            with folder(above, name, path) as fd:
                for one in os.listdir(fd):
                    remove(fd, one, os.path.join(path, one), depth + 1)
            os.rmdir(name, dir_fd=above)
        elif info is not None:
            os.unlink(name, dir_fd=above)


def remove_path(path):
    """As `remove`, for a path that may be missing. Never follows the last part."""
    parent, name = os.path.split(path.rstrip("/"))
    with contextlib.suppress(FileNotFoundError), entry(parent) as place:
        remove(place.fd, name, path)


def replace(above, name, data, mode, owner=None, durable=True):
    """Writes the file atomically; no other user can have created its name before."""
    temporary = "%s.tmp-%d" % (name, os.getpid())
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=above)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=above), "wb") as file:
            file.write(data)
            file.flush()
            if owner:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno()) if durable else None
        os.replace(temporary, name, src_dir_fd=above, dst_dir_fd=above)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=above)
        raise
    if durable:
        os.fsync(above)


def matches(pattern, refused=None, under=None):
    """Paths that match, as in glob; `refused` collects directories that root does not enter."""
    parts = pattern.split("/")
    fixed = next((at for at, part in enumerate(parts) if MAGIC.search(part)), len(parts) - 1) if under is None else 0
    found = [under or "/".join(parts[:fixed]) or "/"]
    for part in parts[fixed:]:
        found = [path for where in found for path in matched(where, part, refused)]
    return sorted(found)


def matched(where, part, refused):
    try:
        if not MAGIC.search(part):
            with entry(where) as place:
                return [os.path.join(where, part)] if lstat(place.fd, part) else []
        with directory(where) as fd:
            names = [name for name in os.listdir(fd) if fnmatch.fnmatchcase(name, part)]
    except OSError as error:
        if refused is not None and isinstance(error, Refused):
            refused[error.filename] = error
        return []
    return [os.path.join(where, name) for name in names if part.startswith(".") or not name.startswith(".")]


def owner_of(path):
    """(uid, gid) of the nearest existing directory, if root must become another user to write like its owner.

    Also for root that already acts as another user: what it starts must not be root underneath.
    """
    while True:
        with contextlib.suppress(FileNotFoundError), entry(path) as place:
            info = os.fstat(place.fd)
            if is_folder(info):
                return (info.st_uid, info.st_gid) if os.getuid() == 0 and info.st_uid else None
        path = os.path.dirname(path.rstrip("/")) or "/"


def writer_of(path):
    """As `owner_of`; Refused if root itself would have to write where other users can write too."""
    user = owner_of(path)
    with contextlib.suppress(FileNotFoundError), entry(path) as place:
        info = os.fstat(place.fd)
        if os.getuid() == 0 and info.st_uid == 0 and info.st_mode & 0o022:
            why = "belongs to root, but other users can write there; give it to the server's user, or revoke that"
            raise Refused(path, why)
    return user


@contextlib.contextmanager
def as_started():
    """Becomes root again for root's own files, while acting as another user."""
    user = os.geteuid()
    if os.getuid() != 0 or user == 0:
        yield
        return
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(user)


@contextlib.contextmanager
def acting_as(user):
    """Creates and reads files as their owner would: with the owner's user and group, and none of root's groups."""
    if not user or os.geteuid() == user[0]:
        yield
        return
    groups = os.getgroups()
    os.setgroups([user[1]])
    os.setegid(user[1])
    os.seteuid(user[0])
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def give(fd, uid, gid):
    """Whether it had another owner; acts on the opened file or directory itself, whatever its current name."""
    info = os.fstat(fd)
    if (info.st_uid, info.st_gid) == (uid, gid):
        return False
    os.chown("/proc/self/fd/%d" % fd, uid, gid)
    return True
