#!/usr/bin/python
"""Reports who holds the locks of apt and dpkg, and whether dpkg was interrupted."""

from __future__ import annotations

import fcntl
import os
import struct

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: package_lock
short_description: Who holds the locks of apt and dpkg
description:
  - Checks once and changes nothing. The action plugin of the same name checks until the locks are free or O(timeout)
    has passed, and reports who holds them.
options:
  root: {description: Directory with the locks; for tests., type: path, default: /}
  timeout: {description: How long to wait in total; read by the action plugin., type: float, default: 600}
author: [reaper_ops (@reaper-ops)]
"""
EXAMPLES = r"""
- name: Wait for other package installations to end
  reaper_ops.ollama.package_lock: {timeout: 600}
"""
RETURN = r"""
holder: {description: Program and pid; empty when the locks are free., type: str, returned: always}
pid: {description: Pid of the holder; 0 if none or outside this container., type: int, returned: always}
interrupted: {description: Whether dpkg left work undone., type: bool, returned: always}
"""
LOCKS = ("var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock", "var/lib/apt/lists/lock", "var/cache/apt/archives/lock")
UPDATES = "var/lib/dpkg/updates"
RECORD = "hhlli"


def holder_of(path):
    """Pid of the holder of the lock, 0 if it is outside this container; None when the lock is free."""
    try:
        with open(path, "r+b") as file:
            asked = struct.pack(RECORD, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(RECORD, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else pid


def name_of(pid):
    """The program, without the interpreter that runs it."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            words = file.read().decode("utf-8", "replace").split("\0")
    except OSError:
        words = []
    names = [os.path.basename(word) for word in words if word and not word.startswith("-")]
    while len(names) > 1 and names[0].startswith(("python", "perl", "sh", "bash", "dash")):
        names.pop(0)
    return "%s (pid %d)" % (names[0] if names else "a program", pid) if pid else "a program outside this container"


def main():
    module = AnsibleModule(
        {"root": {"type": "path", "default": "/"}, "timeout": {"type": "float"}}, supports_check_mode=True
    )
    root = module.params["root"]
    try:
        held = [pid for pid in (holder_of(os.path.join(root, lock)) for lock in LOCKS) if pid is not None]
        updates = os.path.join(root, UPDATES)
        undone = os.path.isdir(updates) and any(name.isdigit() for name in os.listdir(updates))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename, error.strerror))
    holder = name_of(held[0]) if held else ""
    pid = held[0] if held else 0
    module.exit_json(changed=False, holder=holder, pid=pid, interrupted=bool(undone) and not held)


if __name__ == "__main__":
    main()
