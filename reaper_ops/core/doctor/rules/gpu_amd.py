"""AMD's links up to the container."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.rules.gpu_link import Link
from reaper_ops.core.facts.gpu_chain import DeviceNode
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings

TARGETS = frozenset(
    {
        *("gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100", "gfx1101", "gfx1102"),
        *("gfx1150", "gfx1151", "gfx1200", "gfx1201"),
    }
)
OVERRIDE = "HSA_OVERRIDE_GFX_VERSION"


def pci(settings: Settings, facts: Facts) -> Link | None:
    gpu = facts.gpu
    if any(card.vendor == "1002" for card in gpu.pci) or "pci" in facts.unread:
        return None
    if "amdgpu" in gpu.modules and any(node.path == "/dev/kfd" for node in gpu.nodes):
        return None
    seen = ", ".join(f"{card.slot} {card.vendor}:{card.device}" for card in gpu.pci) or "no display device"
    step = "check the card's seat and power and the BIOS; in a virtual machine, pass the card through"
    return Link("gpu-not-used", "pci", seen, "an AMD display device (vendor 1002) on the PCI bus", step)


def module(settings: Settings, facts: Facts) -> Link | None:
    cards = [card for card in facts.gpu.pci if card.vendor == "1002"]
    held = any(card.driver == "amdgpu" for card in cards)
    if held or "amdgpu" in facts.gpu.modules or any(node.path == "/dev/kfd" for node in facts.gpu.nodes):
        return None
    if "modules" in facts.unread:
        return None
    seen = ", ".join(f"{card.slot} held by {card.driver or 'no driver'}" for card in cards)
    step = "`modprobe amdgpu`; install the kernel's firmware package, or AMD's driver for ROCm 7"
    return Link("amd-driver-too-old", "module", seen, "the kernel module amdgpu", step)


def nodes(settings: Settings, facts: Facts) -> Link | None:
    if "nodes" in facts.unread:
        return None
    there = {node.path for node in facts.gpu.nodes}
    seen = ", ".join(sorted(there)) or "no device nodes"
    if "/dev/kfd" not in there:
        step = "use a kernel whose amdgpu has KFD (CONFIG_HSA_AMD); inside a container, give it /dev/kfd"
        return Link("amd-driver-too-old", "nodes", seen, "/dev/kfd, through which ROCm computes", step)
    if not any(path.startswith("/dev/dri/render") for path in there):
        return Link("amd-kfd-permission", "nodes", seen, "/dev/dri/renderD*", "`modprobe amdgpu`; see `dmesg`")
    return None


def permission(settings: Settings, facts: Facts) -> Link | None:
    """Whether the running server may open the nodes; a container's groups are its own."""
    process = facts.process
    if settings.ollama_runtime == "docker" or process is None or process.uid in {0, None}:
        return None
    closed = [node for node in facts.gpu.nodes if _needed(node) and not _open(node, process.gids)]
    if not closed:
        return None
    seen = f"the server runs as uid {process.uid} with groups {' '.join(map(str, process.gids)) or 'none'}"
    missing = ", ".join(f"group {node.gid} for {node.path} ({node.mode})" for node in closed)
    step = "`usermod -aG render,video ollama`, then restart Ollama"
    return Link("amd-kfd-permission", "nodes", seen, missing, step)


def _needed(node: DeviceNode) -> bool:
    return node.path == "/dev/kfd" or node.path.startswith("/dev/dri/render")


def _open(node: DeviceNode, gids: tuple[int, ...]) -> bool:
    mode = int(node.mode, 8) if re.fullmatch(r"[0-7]{3,5}", node.mode) else 0
    return mode & 0o006 == 0o006 or (node.gid in gids and mode & 0o060 == 0o060)


def target(settings: Settings, facts: Facts) -> Link | None:
    """Whether Ollama's ROCm libraries are built for any of the cards."""
    known = [card.gfx for card in facts.gpu.amd if card.gfx]
    overridden = OVERRIDE in settings.ollama_env or (facts.process and OVERRIDE in facts.process.environ)
    if not known or overridden or any(name in TARGETS for name in known):
        return None
    step = f"set {OVERRIDE} (as 10.3.0 or 11.0.0) in the server's environment, or OLLAMA_VULKAN=1"
    return Link("amd-gfx-unsupported", "driver", ", ".join(known), "a target that ROCm is built for", step)
