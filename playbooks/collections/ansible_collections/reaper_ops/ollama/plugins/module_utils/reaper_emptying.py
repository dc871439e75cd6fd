"""Directories that are removed when they hold only our files and files that a server wrote."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_layout import ROOTS

SERVER_LITTER = ("id_ed25519", "id_ed25519.pub", "history", "server.json", "logs")


def is_directory(path):
    """Whether it is a directory; a link is not."""
    parent, name = os.path.split(path.rstrip("/"))
    try:
        with tree.entry(parent) as place:
            info = tree.lstat(place.fd, name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return info is not None and tree.is_folder(info)


def parts_of(store):
    """What a server keeps in its store. A link there is left to whoever created it."""
    found = []
    for name in ("blobs", *ROOTS):
        path = os.path.join(store, name)
        with contextlib.suppress(FileNotFoundError), tree.entry(store) as place:
            info = tree.lstat(place.fd, name)
            if info is not None and tree.is_link(info):
                raise Trouble("%s is a link; its target stays, remove both by hand" % path)
            found += [path] if info is not None else []
    return found


def litter(home):
    """Files that the server itself writes into its home."""
    return [os.path.join(home, ".ollama", name) for name in SERVER_LITTER]


def sweep(home, check=False):
    """Removes what the server wrote, and directories that are then empty; returns what was removed."""
    path, gone = os.path.join(home, ".ollama"), []
    try:
        with tree.directory(home) as top:
            with tree.inside(top, [".ollama"], home) as fd:
                for name in SERVER_LITTER:
                    if tree.lstat(fd, name):
                        gone.append(os.path.join(path, name))
                        None if check else tree.remove(fd, name, gone[-1])
            if not check:
                empty(path)
    except FileNotFoundError:
        return gone
    return gone


def empty(path):
    """Removes every empty directory, including the top one; follows no link and enters no mount."""
    with contextlib.suppress(FileNotFoundError):
        with tree.directory(path) as fd:
            for above, name, info, _ in tree.below(fd, path, {}):
                if tree.is_folder(info):
                    with contextlib.suppress(OSError):
                        os.rmdir(name, dir_fd=above)
        rmdir(path)


def rmdir(path):
    """Where it is empty."""
    parent, name = os.path.split(path.rstrip("/"))
    with contextlib.suppress(OSError), tree.entry(parent) as place:
        os.rmdir(name, dir_fd=place.fd)
