"""The chain PCI → module → device nodes → tool → toolkit and CDI → container → server's log → model in GPU memory."""

from __future__ import annotations

from reaper_ops.core.doctor.rules import gpu_amd, gpu_nvidia, gpu_server
from reaper_ops.core.doctor.rules.gpu_link import Check, Link
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings

CHAINS: dict[str, tuple[Check, ...]] = {
    "nvidia": (
        *(gpu_nvidia.pci, gpu_nvidia.module, gpu_nvidia.nodes, gpu_nvidia.tool, gpu_nvidia.floor),
        *(gpu_nvidia.chosen, gpu_nvidia.toolkit, gpu_server.container, gpu_server.log, gpu_server.memory),
    ),
    "amd": (
        *(gpu_amd.pci, gpu_amd.module, gpu_amd.nodes, gpu_amd.permission, gpu_amd.target),
        *(gpu_server.container, gpu_server.log, gpu_server.memory),
    ),
}


def vendor(settings: Settings, facts: Facts) -> str:
    """Which chain is walked: as configured, otherwise what the host has; ``none`` without a GPU, desired or present."""
    if settings.gpu_vendor != "auto":
        return settings.gpu_vendor
    seen = facts.gpu.vendor()
    nodes = {node.path for node in facts.gpu.nodes}
    if seen == "none" and (facts.system.jetpack or "/dev/dxg" in nodes or settings.gpu_devices):
        return "nvidia"
    return "nvidia" if seen == "none" and settings.gpu_require else seen


def first_broken_link(settings: Settings, facts: Facts) -> Link | None:
    """The first link of the host's GPU chain that is broken, with what was seen and what to do.

    A link about which nothing was read is passed over: not knowing is not broken. A model that is in GPU memory
    now proves the whole chain.
    """
    if not facts.system.arch or gpu_server.in_gpu_memory(facts):
        return None
    checks = CHAINS.get(vendor(settings, facts), ())
    return next((broken for check in checks if (broken := check(settings, facts)) is not None), None)
