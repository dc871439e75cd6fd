"""Where everything lies in a bundle: the files of a host's folder, and whose a path is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

HEAD = "bundle.json"
HOST = "host.json"
SETTINGS = "settings.json"
OUTSIDE = "http/outside.json"
INSIDE = "http/inside.json"
ASKED = "http/asked-"
MORE = "more/"
ENVIRON = "environ.txt"
OUTPUT, CONTENT = "stdout", "content"
FILES: Mapping[str, tuple[str, str]] = {
    "journal.log": ("log", OUTPUT),
    "kernel.log": ("kernel-journal", OUTPUT),
    "dmesg.txt": ("kernel-ring", OUTPUT),
    "oomd.log": ("oomd", OUTPUT),
    "audit.log": ("audit", OUTPUT),
    "systemctl-show.txt": ("unit", OUTPUT),
    "systemctl-show-again.txt": ("unit-again", OUTPUT),
    "systemctl-cat.txt": ("unit-text", OUTPUT),
    "docker-inspect.json": ("containers", OUTPUT),
    "docker-info.json": ("docker-info", OUTPUT),
    "ss.txt": ("listeners", OUTPUT),
    "ps.txt": ("processes", OUTPUT),
    "limits.txt": ("limits", OUTPUT),
    "cgroup.txt": ("server-cgroup", OUTPUT),
    "store.txt": ("stores", OUTPUT),
    "access.txt": ("access", OUTPUT),
    "drift.txt": ("drift", OUTPUT),
    "binaries.txt": ("binaries", OUTPUT),
    "firewall.txt": ("firewall", OUTPUT),
    "resolved.txt": ("resolved", OUTPUT),
    "timedatectl.txt": ("clock", OUTPUT),
    "nvidia-smi.csv": ("nvidia-smi", OUTPUT),
    "nvidia-load.csv": ("gpu-load", OUTPUT),
    "nvidia-users.csv": ("gpu-users", OUTPUT),
    "meminfo.txt": ("meminfo", CONTENT),
    "swaps.txt": ("swaps", CONTENT),
    "pressure.txt": ("pressure", CONTENT),
    "loadavg.txt": ("loadavg", CONTENT),
    "cpuinfo.txt": ("cpuinfo", CONTENT),
    "mounts.txt": ("mounts", CONTENT),
    "fstab.txt": ("fstab", CONTENT),
    "os-release.txt": ("os-release", CONTENT),
    "daemon.json": ("daemon.json", CONTENT),
}
"""File of a host's folder: id of the question, and the part of its answer that the file is."""
OWN: Mapping[str, str] = {**{name: id_ for name, (id_, _) in FILES.items()}, ENVIRON: "process"}
"""File of a host's folder: the question that its name stands for."""


def folder(host: str) -> str:
    """A host's name as the name of its folder."""
    return quote(host, safe="@+=,") if host.strip(".") else host.replace(".", "%2E")


def host_of(folder_name: str) -> str:
    return printable(unquote(folder_name))


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def place(path: str) -> tuple[str, str] | None:
    """(host's folder, path in it) of a file that belongs to a host; None for any other."""
    parts = path.split("/")
    for length in (2, 1):
        inner = "/".join(parts[-length:])
        if len(parts) >= length and _is_part(inner):
            return "/".join(parts[:-length]), inner
    return None


def _is_part(inner: str) -> bool:
    if inner.startswith((MORE, "http/")):
        return inner.endswith(".json")
    return inner in FILES or inner in {HOST, SETTINGS, ENVIRON}


def grouped(paths: Iterable[str], *, by_hand: bool = False) -> dict[str, dict[str, str]]:
    """{host's folder: {path in it: whole path}}. by_hand: a file of any name belongs to the folder that it lies in;
    one beside the folders of hosts is nobody's."""
    found: dict[str, dict[str, str]] = {}
    others: dict[str, list[str]] = {}
    for path in paths:
        known = place(path)
        if known is not None:
            found.setdefault(known[0], {})[known[1]] = path
        elif by_hand:
            others.setdefault(path.rpartition("/")[0], []).append(path)
    hosts = set(found)
    for folder_, odd in others.items():
        if folder_ or folder_ in hosts or (not hosts and len(others) == 1):
            owner = next((one for one in hosts if one and f"{folder_}/".startswith(f"{one}/")), folder_)
            owner = "" if "" in hosts else owner
            found.setdefault(owner, {}).update({path.removeprefix(f"{owner}/"): path for path in odd})
    return found
