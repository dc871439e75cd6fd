"""Where packages come from that the distribution lacks, and the fingerprints of their keys.

Sources: docs.docker.com/engine/install and nvidia.github.io/libnvidia-container.
"""

from __future__ import annotations

from typing import Any

from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.facts.sources import address

DOCKER = "https://download.docker.com/linux"
DOCKER_KEYS = {
    "debian": "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
    "redhat": "060A61C51B558A7F742B77AAC52FEB6B621E9F35",
}
NVIDIA = "https://nvidia.github.io/libnvidia-container"
NVIDIA_KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"
DRIVERS = {
    "debian": ("nvidia-driver", "firmware-misc-nonfree", "linux-headers-{arch}"),
    "ubuntu": ("nvidia-driver-580-server", "linux-headers-generic"),
}
DAEMON: dict[str, dict[str, Any]] = {
    "cdi": {"features": {"cdi": True}},
    "cdi-deploy": {"features": {"cdi": True}},
    "gpus": {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}},
    "deploy": {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}},
}


def for_roles(system: System, arch: str, form: str) -> dict[str, Any]:
    """What the roles docker and gpu need: repository URLs, key fingerprints, driver packages, engine settings."""
    distribution = system.os_id if system.family == "debian" else "fedora" if system.os_id == "fedora" else "centos"
    drivers = DRIVERS.get(system.os_id, DRIVERS["debian"])
    return {
        "docker": {"url": f"{DOCKER}/{distribution}", "key": DOCKER_KEYS.get(system.family, DOCKER_KEYS["debian"])},
        "nvidia": {"url": NVIDIA, "key": NVIDIA_KEY},
        "driver_packages": [name.format(arch=arch) for name in drivers],
        "daemon": DAEMON.get(form, {}),
    }


def named(facts: Facts, which: str, arch: str) -> str:
    """The file that names the archive already, in whatever form; empty when none does. which: docker or nvidia."""
    system = facts.system
    url = for_roles(system, arch, "")[which]["url"]
    if system.family != "debian":
        wanted = address(f"{url}/" if which == "docker" else f"{url}/stable/rpm/{system.arch}", system.arch)
        paths = (row.path for row in facts.sources if row.uri == wanted or row.uri.startswith(f"{wanted}/"))
        return next(paths, "")
    for row in facts.sources:
        flat = row.suite.endswith("/")
        place = f"{row.uri}/{row.suite.strip('./')}".rstrip("/") if flat else row.uri
        docker = not flat and row.suite == system.codename and "stable" in row.components and place == address(url, "")
        if docker if which == "docker" else flat and place == address(f"{url}/stable/deb/{arch}", ""):
            return row.path
    return ""
