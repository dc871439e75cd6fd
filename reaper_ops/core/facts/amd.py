"""AMD's GPUs, from the kernel's own tables: amdgpu for memory, KFD for the compute target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts.answers import Answers, Ask, mapping, number, text
from reaper_ops.core.facts.gpu_chain import AmdGpu
from reaper_ops.core.inventory.settings import Settings

KFD_LINES = r"^(gfx_target_version|location_id|domain) "


def asks(settings: Settings) -> list[Ask]:
    return [
        {"id": "amdgpu-version", "kind": "file", "path": "/sys/module/amdgpu/version"},
        {
            "id": "kfd",
            "kind": "glob",
            "patterns": ["/sys/class/kfd/kfd/topology/nodes/*/properties"],
            "content": True,
            "grep": KFD_LINES,
        },
        {
            "id": "amd-vram",
            "kind": "glob",
            "patterns": ["/sys/class/drm/card*/device/mem_info_vram_total"],
            "content": True,
            "beside": ["mem_info_vram_used", "uevent"],
        },
    ]


def driver(answers: Answers) -> str | None:
    """Version of a separately built amdgpu module; the kernel's own has none."""
    return (answers.content("amdgpu-version") or "").strip() or None


def parse(answers: Answers) -> tuple[AmdGpu, ...]:
    targets = dict(filter(None, (kfd(text(row.get("content"))) for row in answers.matches("kfd") or ())))
    cards = [card for card in map(_card, answers.matches("amd-vram") or ()) if card is not None]
    return tuple(AmdGpu(slot, targets.get(slot), total, used) for slot, total, used in cards)


def kfd(content: str | None) -> tuple[str, str] | None:
    """(PCI slot, `gfx1100`) of one KFD node; None for a CPU, whose target is 0."""
    values = {name: number(value) for name, value in re.findall(r"^(\w+) ([0-9]{1,12})$", content or "", re.M)}
    target, place = values.get("gfx_target_version"), values.get("location_id")
    if not target or place is None:
        return None
    slot = f"{values.get('domain') or 0:04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7}"
    return slot, f"gfx{target // 10000}{target // 100 % 100:x}{target % 100:x}"


def _card(row: Mapping[str, Any]) -> tuple[str, int, int | None] | None:
    beside = mapping(row.get("beside"))
    slot = re.search(r"^PCI_SLOT_NAME=(\S+)$", text(beside.get("uevent")) or "", re.M)
    total = number(text(row.get("content")))
    if not slot or total is None:
        return None
    return slot[1], total, number(text(beside.get("mem_info_vram_used")))
