"""Unpacks .tar.zst and .tgz so that nothing can land outside one directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tarfile

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief

CHUNK = 1 << 20


@contextlib.contextmanager
def decompressed(file, path):
    """A stream of the tar inside an open file, from its start; `path` is only used in messages."""
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    zstd = os.pread(file.fileno(), 4, 0) == b"\x28\xb5\x2f\xfd"
    program = shutil.which("zstd") or shutil.which("unzstd")
    if zstd and program:
        argv = [program, "-dcq", "--long=31"]
        child = subprocess.Popen(argv, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            yield child.stdout, "r|"
            child.stdout.read()
            if child.wait() != 0:
                said = brief(child.stderr.read().decode("utf-8", "replace"), -300)
                raise Trouble("%s: zstd says: %s" % (path, said))
        finally:
            child.stdout.close()
            child.stderr.close()
            child.wait()
        return
    with os.fdopen(os.dup(file.fileno()), "rb") as again:
        if not zstd:
            yield again, "r|*"
            return
        with zstd_library(again, path) as stream:
            yield stream, "r|"


def zstd_library(file, path):
    with contextlib.suppress(ImportError):
        from compression import zstd

        return zstd.open(file, "rb")
    with contextlib.suppress(ImportError):
        import zstandard

        return zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(file)
    raise Trouble("%s: zstd is not installed on this host; install the package zstd" % path)


def unpack(file, path, root):
    """The contents of the open file, which is what was hashed, whatever now has its name."""
    try:
        with decompressed(file, path) as (stream, mode), tarfile.open(fileobj=stream, mode=mode) as tar:
            for member in tar:
                unpack_member(tar, member, root)
    except (tarfile.TarError, EOFError) as error:
        raise Trouble("%s: is not a readable archive: %s" % (path, error)) from None


def inside(root, path):
    return path == root or path.startswith(root + os.sep)


def unpack_member(tar, member, root):
    """Unpacks one member, never outside `root`; modes are 0755 or 0644, the owner is the current user."""
    name = os.path.normpath(member.name)
    target = os.path.join(root, name)
    if name == ".":
        return
    parent = os.path.realpath(os.path.dirname(target))
    if os.path.isabs(name) or name.split(os.sep)[0] == ".." or not inside(root, parent):
        raise Trouble("member %r leads out of its directory; nothing was installed" % member.name)
    if member.isdir():
        os.makedirs(target, mode=0o755, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    if os.path.lexists(target):
        os.unlink(target)
    if member.issym():
        os.symlink(member.linkname, target)
    elif member.islnk():
        source = os.path.realpath(os.path.join(root, member.linkname))
        if not inside(root, source):
            raise Trouble("link %r leads out of its directory; nothing was installed" % member.name)
        os.link(source, target)
    elif member.isfile():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        mode = 0o755 if member.mode & 0o111 else 0o644
        with os.fdopen(os.open(target, flags, mode), "wb") as file:
            shutil.copyfileobj(tar.extractfile(member), file, CHUNK)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    else:
        raise Trouble("member %r is neither file, directory nor link; nothing was installed" % member.name)


def audit_links(root):
    for directory, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(directory, name)
            if os.path.islink(path) and not inside(root, os.path.realpath(path)):
                raise Trouble("%s: this link leads out of the archive; nothing was installed" % path)
