"""The GPU chain as the host shows it: PCI, kernel modules, device nodes; vendors' tools are in nvidia and amd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import amd, nvidia
from reaper_ops.core.facts.answers import Answers, Ask, mapping, text, whole
from reaper_ops.core.facts.gpu_chain import DeviceNode, Gpu, PciGpu
from reaper_ops.core.inventory.settings import Settings

MODULES = r"^(nvidia\w*|nouveau|nvgpu|nvmap|amdgpu|radeon|i915|xe|vfio_pci|zram) "
NODES = ("/dev/nvidia*", "/dev/nvmap", "/dev/nvhost*", "/dev/kfd", "/dev/dri/*", "/dev/dxg")


def asks(settings: Settings) -> list[Ask]:
    found: list[Ask] = [
        {
            "id": "pci",
            "kind": "glob",
            "patterns": ["/sys/bus/pci/devices/*/class"],
            "content": True,
            "match": "^0x03",
            "beside": ["vendor", "device", "uevent"],
        },
        {"id": "modules", "kind": "file", "path": "/proc/modules", "grep": MODULES},
        {"id": "nodes", "kind": "glob", "patterns": list(NODES)},
    ]
    return found if settings.gpu_vendor == "none" else [*found, *nvidia.asks(settings), *amd.asks(settings)]


def parse(answers: Answers) -> Gpu:
    rows, error = nvidia.parse(answers)
    return Gpu(
        pci=tuple(card for card in map(pci, answers.matches("pci") or ()) if card is not None),
        modules=modules(answers.content("modules")),
        nodes=tuple(node for node in map(_node, answers.matches("nodes") or ()) if node is not None),
        nvidia=rows,
        nvidia_error=error,
        driver=nvidia.driver(answers, rows) or amd.driver(answers),
        toolkit=nvidia.toolkit(answers),
        cdi=nvidia.cdi(answers),
        amd=amd.parse(answers),
        mig=nvidia.mig(answers),
    )


def pci(row: Mapping[str, Any]) -> PciGpu | None:
    """One display device: `0000:18:00.0`, vendor and device in four hex digits, and the driver that holds it."""
    beside = mapping(row.get("beside"))
    vendor, device = (_hex(text(beside.get(name))) for name in ("vendor", "device"))
    slot = str(row["path"]).split("/")[-2:-1] if "path" in row else []
    if not vendor or not device or not slot:
        return None
    held = re.search(r"^DRIVER=(\S+)$", text(beside.get("uevent")) or "", re.M)
    return PciGpu(slot[0], vendor, device, held[1] if held else None)


def _hex(value: str | None) -> str | None:
    match = re.fullmatch(r"\s*0x([0-9a-fA-F]{4})\s*", value or "")
    return match[1].lower() if match else None


def modules(content: str | None) -> tuple[str, ...]:
    return tuple(line.split()[0] for line in (content or "").splitlines() if line.split())


def _node(row: Mapping[str, Any]) -> DeviceNode | None:
    gid, mode = whole(row.get("gid")), text(row.get("mode"))
    if gid is None or mode is None or row.get("kind") in ("dir", "link"):
        return None
    return DeviceNode(str(row["path"]), gid, mode)
