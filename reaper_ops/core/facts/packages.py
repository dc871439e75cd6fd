"""Versions of the packages that we might install, from dpkg or rpm."""

from __future__ import annotations

from reaper_ops.core.facts.answers import Answers, Ask
from reaper_ops.core.inventory.settings import Settings

NAMES = (
    *("ca-certificates", "zstd", "tar", "systemd-zram-generator", "zram-generator"),
    *("docker.io", "docker-cli", "docker-compose", "docker-compose-v2", "docker-ce", "docker-ce-cli"),
    *("containerd.io", "docker-compose-plugin", "nvidia-container-toolkit", "nvidia-driver"),
)
DPKG = "${Package}\t${db:Status-Status}\t${Version}\n"
RPM = "%{NAME}\tinstalled\t%{VERSION}-%{RELEASE}\n"


def asks(settings: Settings) -> list[Ask]:
    if settings.ollama_runtime == "process":
        return []
    return [
        {"id": "dpkg", "kind": "command", "argv": ["dpkg-query", "--show", f"--showformat={DPKG}", *NAMES]},
        {"id": "rpm", "kind": "command", "argv": ["rpm", "--query", f"--queryformat={RPM}", *NAMES]},
    ]


def parse(answers: Answers) -> dict[str, str | None]:
    """Name to version, None for one that is not installed; empty when the host has neither tool."""
    for id_ in ("dpkg", "rpm"):
        command = answers.command(id_)
        if command is not None and not command.missing and not command.timed_out:
            rows = installed(command.out)
            if rows or id_ == "rpm" or answers.get("rpm").get("missing"):
                return {name: rows.get(name) for name in NAMES}
    return {}


def installed(output: str) -> dict[str, str]:
    """Rows of name, state and version; a removed package that left its configuration is not installed."""
    rows = (line.split("\t") for line in output.splitlines())
    return {row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "installed" and row[2]}
