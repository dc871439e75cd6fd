"""Where packages come from that the distribution lacks, and the fingerprints of their keys.

Sources: docs.docker.com/engine/install and nvidia.github.io/libnvidia-container.
"""

from __future__ import annotations

from typing import Any

from reaper_ops.core.facts.model import System

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
