"""What a host is at a moment: files with their bytes, units, processes, models, and what an engine holds."""

import json
import time
from collections.abc import Callable

from fleet.residue import FIND, VOLATILE

Run = Callable[[str], str]
PASSING = (
    *("apt", "dpkg", "e2scrub", "fstrim", "getty", "man-db", "modprobe@", "ssh", "systemd-", "user", "session"),
    *("init.scope", "emergency", "rescue", "initrd", "console-getty", "container-getty", "serial-getty", "autovt"),
    *("containerd.service",),
)
UNITS = "systemctl list-units --all --plain --no-legend --type=service,timer,path,swap"
PROCESSES = "ps -eo user:32,args --no-headers"
NO_PROCESS = (
    *("sshd", "ps -eo", "[", "(sd-pam)", "/lib/systemd/systemd --user", "sh -c", "containerd-shim"),
    *("/usr/bin/docker-proxy", "/usr/sbin/docker-proxy", "timeout 300"),
)
MODELS = "curl -sm 5 http://127.0.0.1:11434/api/tags || :"
ENGINE = {
    "container": "docker ps -a --format '{{.Names}} {{.Image}} {{.State}}'",
    "image": "docker images --format '{{.Repository}}:{{.Tag}}'",
    "volume": "docker volume ls --format '{{.Name}}'",
    "network": "docker network ls --format '{{.Name}}'",
}
HASHES = "find /etc -xdev -type f -exec sha256sum {} + | awk '{print $2, $1}'"
CHANGES_BY_ITSELF = (
    *VOLATILE,
    "/var/backups/",
    "/var/lib/docker/",
    "/var/lib/containerd/",
    "/etc/docker/key.json",
    "/etc/ld.so.cache",
)


def state(run: Run, places: tuple[str, ...], *, engine: bool) -> frozenset[str]:
    processes = settled(run)
    found = run(FIND.replace("/ /data", " ".join(("/", *places)), 1)).splitlines()
    found += run(HASHES).splitlines()
    found = [line for line in found if not line.startswith(CHANGES_BY_ITSELF)]
    found += [f"unit {line}" for line in _units(run(UNITS))]
    found += [f"process {line}" for line in processes]
    found += [f"model {line}" for line in _models(run(MODELS))]
    for what, command in ENGINE.items() if engine else ():
        found += [f"{what} {line}" for line in run(command).splitlines()]
    return frozenset(found)


def settled(run: Run) -> list[str]:
    """The processes, once what Ansible started in the background has ended."""
    for _ in range(20):
        found = _processes(run(PROCESSES))
        if not any("ansible-tmp" in line for line in found):
            break
        time.sleep(0.5)
    return found


def _models(text: str) -> list[str]:
    try:
        return sorted(str(row["name"]) for row in json.loads(text)["models"])
    except (ValueError, KeyError, TypeError):
        return []


def _units(text: str) -> list[str]:
    rows = (line.split()[:4] for line in text.splitlines())
    return [" ".join(row) for row in rows if row and not row[0].startswith(PASSING) and row[1] == "loaded"]


def _processes(text: str) -> list[str]:
    rows = (" ".join(line.split()) for line in text.splitlines())
    return [row for row in rows if not row.partition(" ")[2].startswith(NO_PROCESS)]


def differences(before: frozenset[str], after: frozenset[str]) -> list[str]:
    return sorted([*(f"- {line}" for line in before - after), *(f"+ {line}" for line in after - before)])
