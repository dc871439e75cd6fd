"""Whether the user's own ansible.cfg sets an option, which then is theirs; what it says is Ansible's to read."""

from __future__ import annotations

import os
from pathlib import Path


def sets(option: str) -> bool:
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
    return any(line.split("=")[0].strip() == option for line in lines)
