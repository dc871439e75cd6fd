#!/usr/bin/python
"""One swap file: created for its file system, enabled, resized without losing its contents, kept in fstab."""

from __future__ import annotations

import contextlib
import os
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tree as tree
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_files import Trouble
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_swap import (
    BRIDGE,
    FSTAB,
    PART,
    active,
    command,
    destroy,
    fstab_line,
    fstab_text,
    fstab_with,
    names,
    swap_off,
    write_fstab,
)
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_swapfile import (
    PAGE,
    blank,
    existing_parent,
    make,
    refusal,
    require_space,
    signed,
)

DOCUMENTATION = r"""
module: swapfile
short_description: Provide a swap file
description:
  - Creates the file as ext4, xfs, btrfs and others require; refuses file systems that cannot hold swap. A resize
    enables a second file before it disables the first. The next run completes one that was killed.
options:
  path: {description: The swap file., type: path, required: true}
  size: {description: Its size in bytes; rounded down to whole pages., type: int}
  state: {description: Whether the host swaps to it., type: str, choices: [present, absent], default: present}
  priority: {description: Priority of the swap; the kernel's choice when not given., type: int}
  fstab: {description: Keep it across reboots., type: bool, default: true}
  fstab_file: {description: The table of file systems., type: path, default: /etc/fstab}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: 8 GiB of swap
  reaper_ops.ollama.swapfile: {path: /swapfile, size: 8589934592}
"""
RETURN = r"""
steps: {description: What was or would be done., type: list, elements: str, returned: always}
size: {description: Bytes of the file., type: int, returned: present}
"""
PREPARED = "/usr/sbin:/sbin:/usr/bin:/bin"


def inspected(path, params):
    """What must be done, in order; each step is a key of `DO`. Refuses what is impossible."""
    size, now = params["size"], active(path)
    whole, bridge = signed(path, size), active(path + BRIDGE)
    steps = ["clean"] if litter(path) and not bridge else []
    if now and now[0] != size - PAGE:
        steps += ["resize"]
    elif not whole:
        steps += ["settle" if bridge else "make", "on"]
    elif now is None:
        steps += ["on"]
    elif params["priority"] is not None and now[2] != params["priority"]:
        steps += ["off", "on"]
    if bridge and "resize" not in steps:
        steps += ["retire"]
    if whole and (os.stat(path).st_mode & 0o777 != 0o600 or os.stat(path).st_uid != os.geteuid()):
        steps.insert(0, "protect")
    return steps


def litter(path):
    """Files that a killed run left and nothing uses."""
    names = (path + PART, path + BRIDGE, path + BRIDGE + PART)
    return [name for name in names if os.path.lexists(name) and active(name) is None]


def check_place(path, size, steps):
    if os.path.islink(path) or (os.path.lexists(path) and not stat.S_ISREG(os.stat(path).st_mode)):
        raise Trouble("%s: exists, but is not a regular file; choose another swap_path" % path)
    reason = refusal(path)
    if reason:
        raise Trouble(reason)
    where = tree.exposed(existing_parent(path))
    if where:
        raise Trouble("%s: other users can change %s; choose another swap_path" % (path, where))
    if {"make", "settle"} & set(steps) and os.path.exists(path) and not blank(path):
        raise Trouble("%s: exists, but is not a swap file; move it away or choose another swap_path" % path)
    if {"make", "resize"} & set(steps) and not active(path + BRIDGE):
        require_space(path, size)


def switch_on(path, params, allocated=True):
    """Some file systems refuse an allocated file; it is then written out instead."""
    words = [] if params["priority"] is None else ["-p", str(params["priority"])]
    try:
        command(["swapon", *words, path])
    except Trouble as trouble:
        if "Invalid argument" not in str(trouble) or not allocated:
            raise Trouble("%s; a container or this file system may not allow swap" % trouble) from None
        make(path, params["size"], allocate=False)
        switch_on(path, params, allocated=False)


def resize(path, params):
    """A second file takes over, the old one goes off; then the second one moves to its place."""
    if not active(path + BRIDGE):
        make(path + BRIDGE, params["size"])
        switch_on(path + BRIDGE, params)
    swap_off(path)
    os.unlink(path)
    settle(path, params)
    switch_on(path, params)
    retire(path, params)


def settle(path, params):
    """The bridge becomes the file: by renaming when it is empty, otherwise through a third file that takes over.

    The kernel does not rename an active swap file, and a memory cgroup may lack space for its contents.
    """
    if signed(path + BRIDGE, params["size"]) and active(path + BRIDGE)[1] == 0:
        rename(path)
        return
    try:
        make(path, params["size"])
    except Trouble:
        if not signed(path + BRIDGE, params["size"]):
            raise
        rename(path)


def rename(path):
    swap_off(path + BRIDGE)
    os.replace(path + BRIDGE, path)


def retire(path, _params):
    swap_off(path + BRIDGE)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path + BRIDGE)


def clean(path, _params):
    for name in litter(path):
        os.unlink(name)


def protect(path, _params):
    os.chmod(path, 0o600)
    os.chown(path, os.geteuid(), -1)


DO = {
    "clean": clean,
    "protect": protect,
    "make": lambda path, params: make(path, params["size"]),
    "settle": settle,
    "resize": resize,
    "off": lambda path, _params: swap_off(path),
    "on": switch_on,
    "retire": retire,
}


def kept_line(params):
    return fstab_line(params["path"], params["priority"]) if params["state"] == "present" else ""


def present(params, check):
    path, size = params["path"], params["size"]
    steps = inspected(path, params)
    check_place(path, size, steps)
    before = state_of(path, params)
    table = fstab_text(params["fstab_file"])
    wanted = fstab_with(path, kept_line(params), table) if params["fstab"] else table
    if not check:
        for step in steps:
            DO[step](path, params)
        if wanted != table:
            write_fstab(wanted, params["fstab_file"])
    after = "size %d\nactive yes\n" % size
    steps = steps + (["fstab"] if wanted != table else [])
    return {"changed": bool(steps), "steps": steps, "size": size, "diff": {"before": before, "after": after}}


def absent(params, check):
    path = params["path"]
    table = fstab_text(params["fstab_file"])
    wanted = fstab_with(path, "", table) if params["fstab"] else table
    there = any(os.path.lexists(name) or active(name) for name in names(path))
    if os.path.isfile(path) and active(path) is None and not blank(path):
        raise Trouble("%s: is not a swap file and was not touched" % path)
    before = state_of(path, params)
    if not check:
        if wanted != table:
            write_fstab(wanted, params["fstab_file"])
        if there:
            destroy(path)
    steps = (["fstab"] if wanted != table else []) + (["off", "remove"] if there else [])
    return {"changed": bool(steps), "steps": steps, "diff": {"before": before, "after": "absent\n"}}


def state_of(path, _params):
    if not os.path.exists(path):
        return "absent\n"
    return "size %d\nactive %s\n" % (os.stat(path).st_size, "yes" if active(path) else "no")


def main():
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "size": {"type": "int"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "priority": {"type": "int"},
            "fstab": {"type": "bool", "default": True},
            "fstab_file": {"type": "path", "default": FSTAB},
        },
        required_if=[("state", "present", ("size",))],
        supports_check_mode=True,
    )
    params = module.params
    os.environ["PATH"] = os.environ.get("PATH", "") + ":" + PREPARED
    os.environ["LC_ALL"] = "C"
    if params["state"] == "present":
        params["size"] -= params["size"] % PAGE
        if params["size"] < 10 * PAGE:
            module.fail_json(msg="%s: swap_size is less than 10 pages; mkswap refuses that" % params["path"])
    try:
        module.exit_json(**(present if params["state"] == "present" else absent)(params, module.check_mode))
    except Trouble as trouble:
        module.fail_json(msg=str(trouble))
    except OSError as error:
        place = error.filename or params["path"]
        module.fail_json(msg="%s: %s; swap needs root" % (place, error.strerror))


if __name__ == "__main__":
    main()
