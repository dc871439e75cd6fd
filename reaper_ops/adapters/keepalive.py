"""ssh that notices a host that is gone: without it a network that is cut holds a run for a quarter of an hour."""

from __future__ import annotations

import os
from pathlib import Path

NAME, OPTION = "ANSIBLE_SSH_EXTRA_ARGS", "ssh_extra_args"
ARGS = "-o ServerAliveInterval=15 -o ServerAliveCountMax=6"
"""Behind all others on ssh's command line, where the first value of an option wins: the user's own are before it."""


def environment() -> dict[str, str]:
    """For Ansible; nothing where the user sets the same in the environment or in ansible.cfg."""
    return {} if NAME in os.environ or _configured() else {NAME: ARGS}


def _configured() -> bool:
    named = os.environ.get("ANSIBLE_CONFIG")
    path = Path(named).expanduser() if named else None
    if path is not None and path.is_dir():
        path /= "ansible.cfg"
    others = (Path("ansible.cfg"), Path("~/.ansible.cfg").expanduser(), Path("/etc/ansible/ansible.cfg"))
    found = next((one for one in ((path,) if path else ()) + others if one.is_file()), None)
    try:
        lines = found.read_text(encoding="utf-8", errors="replace").splitlines() if found else []
    except OSError:
        return True
    return any(line.split("=")[0].strip() == OPTION for line in lines)
