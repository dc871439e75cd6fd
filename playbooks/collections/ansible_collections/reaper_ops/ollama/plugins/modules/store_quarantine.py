#!/usr/bin/python
"""Quarantine a file of a model store, so that it can be restored if that does not help."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_layout import CURRENT, ROOTS

DOCUMENTATION = r"""
module: store_quarantine
short_description: Quarantine a file of a model store, restore it, or discard it
description:
  - Touches only a regular file below I(store)C(/manifests), I(store)C(/manifests-v2) or I(store)C(/blobs), and a link
    below I(store)C(/manifests-v2), which it moves as it is. Follows no link inside the store and crosses no mount,
    neither to the file nor to the quarantine.
  - Quarantined files lie in I(store)C(/set-aside), which Ollama does not read, on the same file system.
options:
  store: {description: The model store., type: path, required: true}
  path: {description: The file; with C(*) at its end all files that begin so., type: path, required: true}
  state: {description: The wanted state., type: str, required: true, choices: [quarantined, restored, discarded]}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Quarantine a damaged blob
  reaper_ops.ollama.store_quarantine:
    store: /var/lib/ollama/models
    path: /var/lib/ollama/models/blobs/sha256-00
    state: quarantined
"""
RETURN = r"""
kept: {description: Where the file lies while it is quarantined., type: str, returned: always}
"""
ROOMS, QUARANTINE = (*ROOTS, "blobs"), "set-aside"


class Refused(Exception):
    pass


def places(store, path):
    """The store with links resolved, and the path parts from it to the directory of the file."""
    store = tree.resolved(store)
    place = os.path.join(tree.resolved(os.path.dirname(path)), os.path.basename(path))
    parts = os.path.relpath(place, store).split(os.sep)
    if parts[0] not in ROOMS or len(parts) < 2 or parts[-1] in ("", ".", ".."):
        raise Refused("%s: is not a file of the model store %s" % (path, store))
    return store, parts[:-1], parts[-1]


def step(params, check):
    store, parts, name = places(params["store"], params["path"])
    away = [QUARANTINE, *parts]
    start, end = {"quarantined": (parts, away), "restored": (away, parts), "discarded": (away, None)}[params["state"]]
    with tree.directory(store) as top:
        found = moved(top, store, (start, end), name, check)
        if found and not check:
            remove_empty(top, store, away)
    return {"changed": bool(found), "kept": os.path.join(store, *away, name)}


def moved(top, store, ends, name, check):
    """Moves matching files from one directory to the other, or removes them if there is none; returns their names."""
    start, end = ends
    try:
        with tree.inside(top, start, store) as source:
            found = matching(source, name)
            for one in found:
                judge(source, one, os.path.join(store, *start, one))
            if found and end is not None:
                carry(top, store, (source, end), found, check)
            for one in found if end is None and not check else ():
                os.unlink(one, dir_fd=source)
            return found
    except FileNotFoundError:
        return []


def matching(source, name):
    if not name.endswith("*"):
        return [name] if tree.lstat(source, name) else []
    pattern = glob.escape(name[:-1]) + "*"
    return sorted(one for one in os.listdir(source) if fnmatch.fnmatchcase(one, pattern))


def judge(source, name, path):
    info = tree.lstat(source, name)
    entry = info is not None and (tree.is_file(info) or (tree.is_link(info) and CURRENT in path.split("/")[-5:-4]))
    if not entry:
        raise Refused("%s: is not a regular file" % path)


def carry(top, store, ends, names, check):
    source, end = ends
    try:
        with tree.inside(top, end, store, make=None if check else 0o755) as target:
            for name in names if end[0] != QUARANTINE else ():
                if tree.lstat(target, name):
                    path, old = os.path.join(store, *end, name), os.path.join(store, QUARANTINE, *end, name)
                    raise Refused("%s: exists again; the old one stays in %s" % (path, old))
            for name in names if not check else ():
                os.replace(name, name, src_dir_fd=source, dst_dir_fd=target)
    except FileNotFoundError:
        if not check:
            raise


def remove_empty(top, store, parts):
    """Removes directories that became empty."""
    for depth in range(len(parts), 0, -1):
        with contextlib.suppress(OSError), tree.inside(top, parts[: depth - 1], store) as above:
            os.rmdir(parts[depth - 1], dir_fd=above)


def main():
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "path", "required": True},
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "required": True, "choices": ["quarantined", "restored", "discarded"]},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**step(module.params, module.check_mode))
    except (Refused, tree.Refused) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename, error.strerror))


if __name__ == "__main__":
    main()
