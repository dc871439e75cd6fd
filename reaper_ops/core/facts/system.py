"""Distribution, kernel, process 1, container, cgroup generation, JetPack."""

from __future__ import annotations

import re
import shlex

from reaper_ops.core.facts.answers import Answers, Ask, text, whole
from reaper_ops.core.facts.model import System
from reaper_ops.core.inventory.settings import Settings

JETPACK = {"32": 4, "34": 5, "35": 5, "36": 6, "38": 7}
MARKS = ("/run/systemd/container", "/.dockerenv", "/run/.containerenv")
CGROUPS = ("/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/systemd")
NO_USER_NAMESPACES = {
    "No space left on device": "user.max_user_namespaces leaves no room for one",
    "Invalid argument": "the kernel has none",
    "Function not implemented": "the kernel has none",
    "Operation not permitted": "they are forbidden here",
}
TOOLS = (
    *("zstd", "tar", "curl", "systemctl", "mkswap", "swapon", "fallocate", "btrfs"),
    *("docker", "dockerd", "nvidia-smi", "nvidia-ctk", "rocminfo", "apt-get", "dnf"),
)


def asks(settings: Settings) -> list[Ask]:
    return [
        {"id": "identity", "kind": "identity"},
        {"id": "os-release", "kind": "file", "path": "/etc/os-release"},
        {"id": "init", "kind": "file", "path": "/proc/1/comm"},
        {"id": "container-marks", "kind": "glob", "patterns": list(MARKS), "content": True},
        {"id": "cgroup", "kind": "glob", "patterns": list(CGROUPS)},
        {"id": "tegra", "kind": "file", "path": "/etc/nv_tegra_release"},
        {"id": "user-namespaces", "kind": "command", "argv": ["unshare", "--user", "true"]},
        {"id": "tools", "kind": "which", "names": list(TOOLS)},
    ]


def parse(answers: Answers) -> System:
    me, release = answers.get("identity"), os_release(answers.content("os-release"))
    kernel = text(me.get("kernel")) or ""
    return System(
        os_id=release.get("ID", ""),
        version_id=release.get("VERSION_ID", ""),
        codename=release.get("VERSION_CODENAME", ""),
        like=tuple(release.get("ID_LIKE", "").split()),
        arch=text(me.get("arch")) or "",
        kernel=kernel,
        hostname=text(me.get("hostname")) or "",
        init=(answers.content("init") or "").strip(),
        container=_container(answers, kernel),
        cgroup=_cgroup(answers),
        cpus=whole(me.get("cpus")),
        uid=whole(me.get("uid")),
        home=text(me.get("home")) or "",
        jetpack=jetpack(answers.content("tegra")),
        python=text(me.get("python")) or "",
        caps=whole(me.get("caps")),
        own_namespace=me.get("own_namespace") if isinstance(me.get("own_namespace"), bool) else None,
        machine=text(me.get("machine")) or "",
        no_user_namespaces=_no_user_namespaces(answers, whole(me.get("uid"))),
    )


def _no_user_namespaces(answers: Answers, uid: int | None) -> str:
    """Why root cannot make a user namespace; empty where it can, and where nobody tried as root."""
    tried = answers.command("user-namespaces")
    if uid != 0 or tried is None or not tried.rc:
        return ""
    return next((reason for message, reason in NO_USER_NAMESPACES.items() if message in tried.err), "")


def tools(answers: Answers) -> dict[str, str | None]:
    names = answers.get("tools").get("names")
    return {str(name): text(path) for name, path in names.items()} if isinstance(names, dict) else {}


def os_release(content: str | None) -> dict[str, str]:
    """Shell-like assignments; a line that is none is passed over."""
    found = {}
    for line in (content or "").splitlines():
        name, mark, value = line.partition("=")
        if mark and re.fullmatch(r"[A-Z][A-Z0-9_]*", name.strip()):
            found[name.strip()] = _unquoted(value)
    return found


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value.strip().strip("'\"")


def jetpack(content: str | None) -> int | None:
    """JetPack's major version from the release of Linux for Tegra."""
    match = re.search(r"^# R(\d+)", content or "")
    return JETPACK.get(match[1]) if match else None


def _container(answers: Answers, kernel: str) -> str | None:
    marks = {str(item["path"]): text(item.get("content")) or "" for item in answers.matches("container-marks") or ()}
    named = marks.get(MARKS[0], "").strip()
    if named:
        return named
    if MARKS[1] in marks:
        return "docker"
    if MARKS[2] in marks:
        return "podman"
    return "wsl" if "microsoft" in kernel.lower() else None


def _cgroup(answers: Answers) -> int | None:
    """2 only where cgroup v2 has the controllers; a hybrid host counts as 1."""
    paths = {str(item["path"]) for item in answers.matches("cgroup") or ()}
    if CGROUPS[0] in paths:
        return 2
    return 1 if paths else None
