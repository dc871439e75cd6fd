"""The host itself: environment, memory, swap, mounts, release, addresses, firewall."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.paste.block import Block, Kind, Reader
from reaper_ops.core.doctor.paste.evidence import RING, PastedEvidence

VARIABLE = re.compile(
    r"(?:export |set )?(?:OLLAMA_|HTTPS?_PROXY|https?_proxy|NO_PROXY|no_proxy|ALL_PROXY|all_proxy|CUDA_|HIP_"
    r"|ROCR_|HSA_|GGML_|NVIDIA_)\w{0,64}="
)
FREE = re.compile(
    r"(Mem|Swap):\s{1,20}([0-9.]{1,12}[KMGT]?i?B?)\s{1,20}([0-9.]{1,12}[KMGT]?i?B?)\s{1,20}([0-9.]{1,12}[KMGT]?i?B?)(?:\s.{0,80}?([0-9.]{1,12}[KMGT]?i?B?))?\s*$"
)
UNITS = {"": 1024, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SWAP = re.compile(
    r"(/\S{1,256})\s{1,60}(file|partition)\s{1,20}([0-9.]{1,12}[KMGT]?)\s{1,20}([0-9.]{1,12}[KMGT]?)\s{1,20}(-?[0-9]{1,5})"
)


def as_text(id_: str) -> Reader:
    def read(block: Block, into: PastedEvidence) -> bool:
        into.add(id_, block.text)
        return True

    return read


def environ(block: Block, into: PastedEvidence) -> bool:
    found = 0
    for line in block.lines:
        name, mark, value = line.text.strip().removeprefix("export ").partition("=")
        if mark and re.fullmatch(r"\w{1,128}", name):
            into.environ[name] = value.strip("'\"")
            found += 1
    return found > 0


def size(text: str, unit: int) -> int:
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)([KMGT]?)i?B?", text)
    return int(float(found[1]) * (UNITS[found[2]] if found[2] else unit)) if found else 0


def free(block: Block, into: PastedEvidence) -> bool:
    """As /proc/meminfo would say it."""
    unit = (
        1 << 20
        if re.search(r"free .{0,10}-\w{0,4}m", block.command)
        else 1 << 30
        if re.search(r"free .{0,10}-\w{0,4}g", block.command)
        else 1 << 10
    )
    rows = {}
    for line in block.lines:
        found = FREE.match(line.text.strip())
        if found:
            rows[found[1]] = [size(text or "", unit) >> 10 for text in found.groups()[1:]]
    if "Mem" in rows:
        total, _, unused, available = rows["Mem"]
        swap = rows.get("Swap", [0, 0, 0, 0])
        into.add(
            "meminfo",
            f"MemTotal: {total} kB\nMemFree: {unused} kB\nMemAvailable: {available or unused} kB\nSwapTotal: "
            f"{swap[0]} kB\nSwapFree: {swap[2]} kB\n",
        )
    return "Mem" in rows


def swaps(block: Block, into: PastedEvidence) -> bool:
    """`swapon --show` and `swapon -s`; a failure of swapon is the kernel's to explain."""
    rows = ["Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"]
    for line in block.lines:
        found = SWAP.match(line.text.strip())
        if found:
            units = [size(text, 1 << 10) >> 10 for text in (found[3], found[4])]
            rows.append(f"{found[1]} {found[2]} {units[0]} {units[1]} {found[5]}")
        elif line.text.strip() and not line.text.startswith(("NAME", "Filename")):
            into.say(RING, line)
    if len(rows) > 1 or not block.text.strip():
        into.add("swaps", "\n".join(rows))
    return True


KINDS = (
    Kind(
        "environment",
        environ,
        VARIABLE,
        re.compile(r"(?:export )?[A-Za-z_]\w{0,64}="),
        re.compile(r"(?:^|[\s|;])(?:env|printenv|export -p|set)\b(?! -)|/environ\b"),
        whole=True,
    ),
    Kind(
        "memory",
        free,
        re.compile(r"\s{4,30}total\s{1,20}used\s{1,20}free\b"),
        re.compile(r"(?:Mem|Swap|Total|-/\+ buffers):?"),
        re.compile(r"(?:^|[\s|;])free\b"),
        whole=True,
    ),
    Kind(
        "meminfo",
        as_text("meminfo"),
        re.compile(r"MemTotal:\s"),
        re.compile(r"\b\w{2,32}(?:\(\w{2,20}\))?:\s{1,20}[0-9]"),
        re.compile(r"/proc/meminfo"),
        whole=True,
    ),
    Kind(
        "swap",
        swaps,
        re.compile(r"NAME\s{1,40}TYPE\s{1,12}SIZE\b|Filename\s{1,40}Type\b"),
        SWAP,
        re.compile(r"(?:^|[\s|;])swapon\b|/proc/swaps"),
        whole=True,
    ),
    Kind(
        "mounts",
        as_text("mounts"),
        re.compile(
            r"\A(?:\S{1,256} on /\S{0,256} type \w{2,20} \(|\S{1,256} /\S{0,256} \w{2,20} r[wo]\b[,\S]{0,600}"
            r" [0-9] [0-9])"
        ),
        re.compile(r"\S{1,256} on /"),
        re.compile(r"(?:^|[\s|;])mount\b(?! -)|/proc/mounts"),
        whole=True,
    ),
    Kind(
        "release",
        as_text("os-release"),
        re.compile(r"(?:NAME|PRETTY_NAME|ID|VERSION_ID|ID_LIKE)=[\"\w]"),
        re.compile(r"[A-Z][A-Z0-9_]{1,40}="),
        re.compile(r"os-release"),
        whole=True,
    ),
    Kind(
        "Linux for Tegra",
        as_text("tegra"),
        re.compile(r"# R[0-9]{2} \(release\)"),
        re.compile(r"# KERNEL_VARIANT"),
        re.compile(r"nv_tegra_release"),
        whole=True,
    ),
    Kind(
        "firewall",
        as_text("firewall"),
        re.compile(
            r"Status: (?:active|inactive)\s*$|table (?:inet|ip|ip6|bridge) \w|-P (?:INPUT|FORWARD|OUTPUT) "
            r"|Chain \w{2,40} \("
        ),
        re.compile(
            r"\A(?:\s{1,16}\S|-[AN] \S|-P |\s*$|[}]|Chain |target |To {2,}|--|Logging|Default|New profiles"
            r"|[\w./:]{1,45} {2,}(?:ALLOW|DENY|REJECT)|table )"
        ),
        re.compile(r"(?:^|[\s|;])(?:ufw|iptables|nft|firewall-cmd)\b"),
        whole=True,
    ),
    Kind(
        "process limits",
        as_text("limits"),
        re.compile(r"Limit\s{1,30}Soft Limit\b"),
        re.compile(r"Max [a-z]"),
        re.compile(r"/limits\b"),
        whole=True,
    ),
    Kind(
        "processor",
        as_text("cpuinfo"),
        re.compile(r"processor\s{1,8}: 0\s*$"),
        re.compile(r"\A(?:\w[\w ]{1,30}\s{0,16}:|\s*$)"),
        re.compile(r"/proc/cpuinfo"),
        whole=True,
    ),
    Kind(
        "pressure",
        as_text("pressure"),
        re.compile(r"(?:some|full) avg10="),
        re.compile(r"(?:some|full) avg10="),
        re.compile(r"/proc/pressure/memory"),
        whole=True,
    ),
)
