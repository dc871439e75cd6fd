"""Around the server: its unit as written and a moment later, mounts, user, proxies, other logs, the clock."""

from __future__ import annotations

import re
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts import unit
from reaper_ops.core.facts.answers import Answers, Ask, decimal, text, whole
from reaper_ops.core.facts.running import LATER
from reaper_ops.core.facts.traces import Mount
from reaper_ops.core.inventory.settings import Settings

AGAIN = ("ActiveState", "SubState", "NRestarts", "MainPID", "Result", "ExecMainStatus")
PROFILES = [
    *("/etc/environment", "/etc/profile", "/etc/profile.d/*.sh", "/etc/bash.bashrc", "/etc/bashrc"),
    *("/etc/systemd/system.conf.d/*.conf", "~/.profile", "~/.bashrc", "~/.bash_profile"),
]
PROXY = r"(?i)\b(https?|all|no)_proxy="
OOMD = r"Killed|killed"
AUDIT = r"(?i)apparmor=\"DENIED\"|avc: +denied"
JOURNAL = ["journalctl", "--quiet", "--no-pager", "-o", "short-iso"]
REFUSALS: dict[str, Any] = {"tail": True, "max_bytes": 1 << 20, "lines": 50, "grep": AUDIT}


def asks(settings: Settings) -> list[Ask]:
    again = ["systemctl", "show", places.UNIT, "--no-pager", f"--property={','.join(AGAIN)}"]
    synchronized = ["timedatectl", "show", "-p", "NTPSynchronized"]
    return [
        {"id": "unit-again", "kind": "command", "argv": again, "after": LATER},
        {"id": "unit-text", "kind": "command", "argv": ["systemctl", "cat", "--no-pager", places.UNIT]},
        {"id": "mounts", "kind": "file", "path": "/proc/mounts"},
        {"id": "fstab", "kind": "file", "path": "/etc/fstab"},
        {"id": "proxies", "kind": "glob", "patterns": PROFILES, "content": True, "grep": PROXY},
        {"id": "oomd", "kind": "command", "argv": [*JOURNAL, "-u", "systemd-oomd", "-b", "-n", "200"], "grep": OOMD},
        {
            "id": "audit",
            "kind": "command",
            "argv": [*JOURNAL, "-b", "-n", "20000", "_TRANSPORT=audit", "+", "_TRANSPORT=kernel"],
            **REFUSALS,
        },
        {"id": "audit-log", "kind": "file", "path": "/var/log/audit/audit.log", **REFUSALS},
        {"id": "clock", "kind": "command", "argv": synchronized},
        {"id": "disks-more", "kind": "statvfs", "paths": ["/", "/tmp", "/var", "/opt/ollama", places.DOCKER_ROOT]},  # noqa: S108 - looked at
    ]


def parse(answers: Answers) -> dict[str, Any]:
    again = unit.show(answers.out("unit-again"))
    user = answers.get("user")
    exists = user.get("home_exists")
    return {
        "unit_again": again or None,
        "unit_text": answers.out("unit-text"),
        "mounts": mounts(answers.content("mounts")),
        "fstab": answers.content("fstab"),
        "user_home": text(user.get("home")),
        "user_home_exists": exists if isinstance(exists, bool) else None,
        "user_uid": whole(user.get("uid")),
        "shell_proxies": proxies(answers),
        "oomd": answers.out("oomd"),
        "audit": _audit(answers),
        "now": decimal(answers.get("identity").get("time")),
        "clock_skew": skew(answers),
        "clock_synchronized": {"NTPSynchronized=yes": True, "NTPSynchronized=no": False}.get(
            (answers.out("clock") or "").strip()
        ),
    }


def mounts(content: str | None) -> tuple[Mount, ...] | None:
    """Lines of /proc/mounts or of `mount`; None when there is none."""
    found = [one for one in map(_mount, (content or "").splitlines()) if one is not None]
    return tuple(found) or None


def _mount(line: str) -> Mount | None:
    shown = re.match(r"^((?:(?! on /).){1,512}) on (/.{0,512}?) type (\S{1,64}) \((.{0,2000})\)", line)
    written = re.match(r"^(\S+) (/\S*) (\S+) (\S+) [0-9]+ [0-9]+$", line)
    found = shown or written
    if not found:
        return None
    source, target, fstype, options = found.groups()
    return Mount(_plain(source), _plain(target), fstype, tuple(options.split(",")))


def _plain(path: str) -> str:
    return re.sub(r"\\([0-3][0-7]{2})", lambda octal: chr(int(octal[1], 8)), path)


def proxies(answers: Answers) -> dict[str, str] | None:
    rows = answers.matches("proxies")
    if rows is None:
        return None
    found = {}
    for row in rows:
        for line in (text(row.get("content")) or "").splitlines():
            for name, value in re.findall(r"(?<![\w$])(\w+_(?i:proxy))=(\"[^\"]*\"|'[^']*'|[^\s;]*)", line):
                if not line.lstrip().startswith("#"):
                    found[name] = value.strip("\"'")
    return found


def _audit(answers: Answers) -> str | None:
    """Refusals of AppArmor and SELinux, by the journal and by the audit daemon's own file."""
    parts = [part for part in (answers.out("audit"), answers.content("audit-log")) if part is not None]
    return "".join(parts) if parts else None


def skew(answers: Answers) -> float | None:
    """The smallest difference to the controller's clock that fits: the host was read between its two times."""
    now, asked = decimal(answers.get("identity").get("time")), answers.get("controller")
    before, after = decimal(asked.get("before")), decimal(asked.get("after"))
    if now is None or before is None or after is None:
        return None
    low, high = now - max(before, after), now - before
    return round(min(max(low, 0.0), high), 1)
