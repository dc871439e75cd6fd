"""Memory and swap, in bytes."""

from __future__ import annotations

import re

from reaper_ops.core.facts.answers import Answers, Ask, number
from reaper_ops.core.facts.model import Memory, Swap
from reaper_ops.core.inventory.settings import Settings

SYSCTLS = ("vm.swappiness", "vm.overcommit_memory")


def asks(settings: Settings) -> list[Ask]:
    return [
        {"id": "meminfo", "kind": "file", "path": "/proc/meminfo"},
        {"id": "swaps", "kind": "file", "path": "/proc/swaps"},
        *({"id": name, "kind": "file", "path": "/proc/sys/" + name.replace(".", "/")} for name in SYSCTLS),
    ]


def parse(answers: Answers) -> Memory | None:
    return meminfo(answers.content("meminfo"))


def parse_swaps(answers: Answers) -> tuple[Swap, ...] | None:
    return swaps(answers.content("swaps"))


def parse_sysctls(answers: Answers) -> dict[str, str]:
    found = {name: answers.content(name) for name in SYSCTLS}
    return {name: value.strip() for name, value in found.items() if value is not None}


def meminfo(content: str | None) -> Memory | None:
    rows = {name: number(rest.split()[0]) for name, rest in re.findall(r"^(\w+): *(\d+ kB)$", content or "", re.M)}
    total = rows.get("MemTotal")
    if not total:
        return None
    free = (rows.get("MemFree") or 0) + (rows.get("Cached") or 0)
    available = rows.get("MemAvailable")
    return Memory(
        total=total << 10,
        available=(free if available is None else available) << 10,
        swap_total=(rows.get("SwapTotal") or 0) << 10,
        swap_free=(rows.get("SwapFree") or 0) << 10,
    )


def swaps(content: str | None) -> tuple[Swap, ...] | None:
    """Rows of /proc/swaps; None without its heading, so that nothing read is not taken for no swap."""
    lines = (content or "").splitlines()
    if not lines or not lines[0].startswith("Filename"):
        return None
    return tuple(row for row in map(_swap, lines[1:]) if row is not None)


def _swap(line: str) -> Swap | None:
    match = re.match(r"^(\S+)\s+(\S+)\s+(\d{1,18})\s+(\d{1,18})\s+(-?\d{1,9})\s*$", line, re.ASCII)
    if not match:
        return None
    path = re.sub(r"\\([0-3][0-7]{2})", lambda octal: chr(int(octal[1], 8)), match[1])
    return Swap(path, match[2], int(match[3]) << 10, int(match[4]) << 10, int(match[5]))
