"""Where Ansible lays files on a host on their way to their place: a directory of this machine's own.

A controller that is killed leaves them there. Ansible names each by the process that made it, so a later run of the
same machine can tell which of them nobody needs; the collection's `clear_remains` takes those away.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from reaper_ops.adapters import ansible_cfg

NAMES, OPTION = ("ANSIBLE_REMOTE_TEMP", "ANSIBLE_REMOTE_TMP"), "remote_tmp"
PLACE = "~/.ansible/tmp/reaper_ops-"
BOOT = Path("/proc/sys/kernel/random/boot_id")
PIDS = Path("/proc/self/ns/pid")


def environment() -> dict[str, str]:
    """For Ansible; nothing where the user sets the same in the environment or in ansible.cfg."""
    if any(name in os.environ for name in NAMES) or ansible_cfg.sets(OPTION):
        return {}
    return {NAMES[0]: PLACE + _processes()}


def _processes() -> str:
    """A name of the processes among which a number means one: this boot of this machine, or of a container on it."""
    try:
        text = f"{BOOT.read_text()} {PIDS.readlink()}"
    except OSError:
        text = f"{platform.node()} {os.getuid()}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
