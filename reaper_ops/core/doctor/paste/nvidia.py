"""NVIDIA's tool in its many forms, as rows of the query that a host is asked."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import PastedEvidence

ID = "nvidia-smi"
VERSIONS = re.compile(r"(?:KMD|Driver) Version: {1,4}([0-9.]{3,16})")
CARD = re.compile(r"\| {1,4}([0-9]{1,3}) {2,4}(\S.{1,40}?) {2,24}(?:On|Off|N/A|Enabled|Disabled|WDDM|TCC|MCDM)\b")
SHORT = re.compile(r"\| {1,4}([0-9]{1,3}) {2,4}(\S.{1,40}?) {1,24}(?:On|Off|N/A)? {0,4}\|")
MEMORY = re.compile(r"([0-9]{1,7})MiB */ {1,8}([0-9]{1,7})MiB")
USED = re.compile(
    r"\| {2,6}([0-9]{1,3}) {1,16}(?:\S{1,8} {1,8}\S{1,8} {1,16})?([0-9]{1,8}) {1,8}(?:C|G|C\+G|M\+C) {1,8}(\S.{0,80}?)"
    r" {1,60}([0-9]{1,7}MiB|N/A)? {0,4}\|"
)
LISTED = re.compile(r"GPU ([0-9]{1,3}): (.{1,80}?) \(UUID: (GPU-[0-9a-fA-F-]{8,40})\)")
FAILED = re.compile(
    r"NVIDIA-SMI has failed|Failed to initialize NVML|No devices were found|No devices found"
    r"|Unable to determine the device handle"
    r"|NVML: |couldn't communicate with the NVIDIA driver|NVIDIA-SMI couldn't"
    r"|.{0,40}nvidia-smi: (?:command )?not found|Command 'nvidia-smi' not found"
)
QUERIED = re.compile(r"[0-9]{1,2}, GPU-[0-9a-f-]{8,40}, ")
FREE = re.compile(r"(?P<name>(?:NVIDIA|Tesla|Quadro|GeForce|RTX|GTX)[^,]{1,60})(?:, (?P<rest>.{1,200}))?$")
MIB = re.compile(r"([0-9]{1,7}) MiB")


def table(block: Block, into: PastedEvidence) -> bool:
    driver = VERSIONS.search(block.text)
    rows, users, card = [], [], None
    for line in block.lines:
        found = CARD.match(line.text) or SHORT.match(line.text)
        memory, used = MEMORY.search(line.text), USED.match(line.text)
        if used:
            users.append(f"{used[2]}, {used[3]}, {(used[4] or '').replace('MiB', '')}")
        elif found and not memory:
            card = found
        elif memory and card:
            rows.append(f"{card[1]}, , {card[2]}, {memory[2]}, {memory[1]}, {driver[1] if driver else ''}, ")
            card = None
    into.add(ID, "\n".join(rows))
    into.add("gpu-users", "\n".join(users))
    if driver:
        into.add("nvidia-driver", f"NVRM version: NVIDIA UNIX Kernel Module  {driver[1]}")
    return bool(rows or driver)


def failed(block: Block, into: PastedEvidence) -> bool:
    said = "\n".join(line.text for line in block.lines if line.text.strip())
    if re.search(r"not found$", said.split("\n")[0]):
        return True
    into.failed.setdefault(ID, said)
    return True


def listed(block: Block, into: PastedEvidence) -> bool:
    into.add("nvidia-list", block.text)
    if ID not in into.texts:
        into.add(
            ID, "\n".join(f"{number}, {uuid}, {name}, , , , " for number, name, uuid in LISTED.findall(block.text))
        )
    return True


def queried(block: Block, into: PastedEvidence) -> bool:
    into.add(ID, block.text)
    return True


def free_query(block: Block, into: PastedEvidence) -> bool:
    """Columns that the reporter chose: name and memory can be told, of the rest what has a unit."""
    rows = []
    for at, line in enumerate(block.lines):
        found = FREE.match(line.text.strip())
        sizes = sorted(int(size) for size in MIB.findall(line.text))
        if found and sizes:
            used = sizes[0] if len(sizes) > 1 else ""
            rows.append(f"{at}, , {found['name'].strip()}, {sizes[-1]}, {used}, , ")
    into.add(ID, "\n".join(rows))
    return bool(rows)


def query(block: Block, into: PastedEvidence) -> bool:
    """`nvidia-smi -q`."""
    value = dict.fromkeys(("driver", "name", "uuid", "total", "used"), "")
    rows, section = [], ""
    for line in block.lines:
        name, _, said = (part.strip() for part in line.text.partition(" : "))
        if line.text.startswith("GPU ") and value["name"]:
            rows.append(dict(value))
        section = name if not said and name else section
        key = {"Driver Version": "driver", "Product Name": "name", "GPU UUID": "uuid"}.get(name)
        if key:
            value[key] = said
        if section == "FB Memory Usage" and name in {"Total", "Used"}:
            value[name.lower()] = said.removesuffix(" MiB")
    rows += [value] if value["name"] else []
    into.add(
        ID,
        "\n".join(
            f"{at}, {r['uuid']}, {r['name']}, {r['total']}, {r['used']}, {r['driver']}, " for at, r in enumerate(rows)
        ),
    )
    return bool(rows)


KINDS = (
    Kind(
        "nvidia-smi -q",
        query,
        re.compile(r"\A=+NVSMI LOG"),
        re.compile(r"\A(?:\s{0,8}\S.{0,60}(?: : |$)|\s*$)"),
        re.compile(r"nvidia-smi -q\b"),
        whole=True,
    ),
    Kind("nvidia-smi rows", queried, QUERIED),
    Kind("nvidia-smi -L", listed, re.compile(LISTED.pattern), re.compile(r"GPU \d|  MIG |\s{2,8}MIG")),
    Kind("nvidia-smi failure", failed, FAILED),
    Kind(
        "nvidia-smi table",
        table,
        re.compile(
            r"\| NVIDIA-SMI |\+-{20,200}[+-]{0,80}\+$|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\s*$"
        ),
        re.compile(r"\A(?:\s{0,8}[|+]|\s*$)"),
    ),
    Kind("nvidia-smi query", free_query, FREE),
)
