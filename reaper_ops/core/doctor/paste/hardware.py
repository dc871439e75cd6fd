"""The machine: PCI devices, kernel modules, AMD's tools, the kernel's own name, and what guards its modules."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import PastedEvidence
from reaper_ops.core.doctor.paste.host import as_text
from reaper_ops.core.facts.gpu import MODULES

CARD = re.compile(
    r"\A(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]) (?:VGA compatible controller|3D controller"
    r"|Display controller)"
    r"(?: \[(03[0-9a-f]{2})\])?: (.{1,300})"
)
IDS = re.compile(r"\[([0-9a-f]{4}):([0-9a-f]{4})\]")
HELD = re.compile(r"\A\s{1,8}Kernel driver in use: (\S{1,40})")
VENDORS = {"NVIDIA": "10de", "AMD": "1002", "Advanced Micro": "1002", "ATI": "1002", "Intel": "8086"}
UNAME = re.compile(r"\ALinux (\S{1,64}) (\S{1,80}) #.{1,160}? (x86_64|aarch64|armv7l|ppc64le|riscv64)\b")
AGENT = re.compile(r"\A\s{0,8}Name: {1,40}(gfx[0-9a-f]{3,5})\s*$")
PLACE = re.compile(r"\A\s{0,8}BDFID: {1,40}([0-9]{1,6})\s*$")
POOL = re.compile(r"\A\s{0,12}Size: {1,40}([0-9]{1,12})\(0x[0-9a-f]{1,12}\) KB")
VRAM = re.compile(r"\AGPU\[([0-9]{1,3})\]\s{1,8}: VRAM Total (Used )?Memory \(B\): ([0-9]{1,16})")


def pci(block: Block, into: PastedEvidence) -> bool:
    cards: list[dict[str, str]] = []
    for line in block.lines:
        card, held = CARD.match(line.text), HELD.match(line.text)
        if card:
            ids = IDS.findall(card[4])
            vendor = next((number for name, number in VENDORS.items() if name in card[4]), "")
            vendor, device = ids[-1] if ids else (vendor, "0000")
            slot = f"{card[1] or '0000'}:{card[2]}"
            cards.append({"slot": slot, "vendor": vendor, "device": device, "driver": ""})
        elif held and cards:
            cards[-1]["driver"] = held[1]
    for row in cards:
        uevent = f"DRIVER={row['driver']}\n" if row["driver"] else ""
        beside = {"vendor": f"0x{row['vendor']}", "device": f"0x{row['device']}", "uevent": uevent}
        path = f"/sys/bus/pci/devices/{row['slot']}/class"
        into.row("pci", {"path": path, "content": "0x030000", "beside": beside})
    return bool(cards)


def modules(block: Block, into: PastedEvidence) -> bool:
    rows = [line.text for line in block.lines if re.match(MODULES, f"{line.text.split(' ')[0]} ")]
    into.add("modules", "\n".join(rows))
    return True


def uname(block: Block, into: PastedEvidence) -> bool:
    found = UNAME.match(block.text)
    if found:
        into.whole["identity"] = {"hostname": found[1], "kernel": found[2], "arch": found[3]}
    return found is not None


def agents(block: Block, into: PastedEvidence) -> bool:
    """`rocminfo`: target, place and memory of each GPU, as the kernel's tables hold them."""
    target = place = ""
    pool = 0
    for line in [*(line.text for line in block.lines), "Agent "]:
        named, at, size = AGENT.match(line), PLACE.match(line), POOL.match(line)
        if line.startswith(("*******", "Agent ")) and target and place:
            _amd(into, target, int(place), pool)
            target, place, pool = "", "", 0
        target = named[1] if named else target
        place = at[1] if at else place
        pool = int(size[1]) << 10 if size and target and not pool else pool
    return True


def _amd(into: PastedEvidence, target: str, place: int, memory: int) -> None:
    digits = target.removeprefix("gfx")
    number = int(digits[:-2]) * 10000 + int(digits[-2], 16) * 100 + int(digits[-1], 16) if digits[:-2].isdigit() else 0
    slot = f"0000:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7}"
    properties = f"gfx_target_version {number}\nlocation_id {place}\ndomain 0\n"
    into.row("kfd", {"path": f"/sys/class/kfd/kfd/topology/nodes/{place}/properties", "content": properties})
    beside = {"uevent": f"PCI_SLOT_NAME={slot}\n"}
    into.row("amd-vram", {"path": f"/sys/class/drm/card{place}/device", "content": str(memory), "beside": beside})


def vram(block: Block, into: PastedEvidence) -> bool:
    sizes: dict[str, dict[str, str]] = {}
    for line in block.lines:
        found = VRAM.match(line.text)
        if found:
            sizes.setdefault(found[1], {})["used" if found[2] else "total"] = found[3]
    for number, row in sizes.items():
        beside = {"uevent": f"PCI_SLOT_NAME=card{number}\n", "mem_info_vram_used": row.get("used", "")}
        path = f"/sys/class/drm/card{number}/device/mem_info_vram_total"
        into.row("amd-vram", {"path": path, "content": row.get("total", "0"), "beside": beside})
    return True


KINDS = (
    Kind(
        "lspci",
        pci,
        re.compile(r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f] [A-Z]"),
        re.compile(r"\A(?:(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f] |\s{1,8}\S)"),
        re.compile(r"(?:^|[\s|;])lspci\b"),
        whole=True,
    ),
    Kind(
        "lsmod",
        modules,
        re.compile(
            r"Module\s{1,40}Size\s{1,12}Used by|(?:nvidia\w{0,16}|amdgpu"
            r"|nouveau)\s{1,40}[0-9]{4,9}\s{1,8}[0-9]{1,5}\b"
        ),
        re.compile(r"\A[\w-]{1,64}\s{1,40}[0-9]{3,9}\s{1,8}-?[0-9]{1,6}\b"),
        re.compile(r"(?:^|[\s|;])lsmod\b|/proc/modules"),
        whole=True,
    ),
    Kind("uname", uname, re.compile(r"Linux \S{1,64} \d\S{1,80} #"), None, re.compile(r"(?:^|[\s|;])uname -a")),
    Kind(
        "rocminfo",
        agents,
        re.compile(r"ROCk module|HSA System Attributes|HSA Agents"),
        re.compile(r"\A(?:\s{0,12}\S.{0,60}:|[=*]{4,80}|Agent|\s*$|HSA|.{0,80}$)"),
        re.compile(r"(?:^|[\s|;/])rocminfo\b"),
        whole=True,
    ),
    Kind("rocm-smi memory", vram, re.compile(r"GPU\[[0-9]{1,3}\]\s{1,8}: VRAM")),
    Kind("secure boot", as_text("secure-boot"), re.compile(r"SecureBoot (?:enabled|disabled)")),
    Kind("dkms", as_text("dkms"), re.compile(r"(?:nvidia|amdgpu)\S{0,20}/[\w.+~-]{3,40}, \S{3,60}, ")),
    Kind("NVIDIA module", as_text("nvidia-driver"), re.compile(r"NVRM version: ")),
)
