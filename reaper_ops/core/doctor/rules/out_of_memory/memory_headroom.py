"""How much memory there is for models, as numbers and in words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.signatures.model import Hit

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\S*|^\w{3} +\d+ (\d\d:\d\d:\d\d) ")
_SIZE = re.compile(r"(?<![\d.])([\d.]{1,20}) ?([KMGT]?)i?B")
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Limit:
    """A limit below the host's memory; where is the setting that holds it."""

    size: int
    where: str


def gib(size: float) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def parsed(text: str) -> int | None:
    """`39.4 GiB`, as Ollama writes it."""
    found = _SIZE.search(text)
    return int(float(found[1]) * _FACTORS[found[2]]) if found else None


def limit(case: HostEvidence) -> Limit | None:
    """The smallest one that was read: of the unit, the container, or their control group."""
    found = []
    unit = case.unit.get("MemoryMax", "")
    if unit.isdigit():
        found.append(Limit(int(unit), "MemoryMax of the unit"))
    ours = case.facts.container.id if case.facts and case.facts.container else ""
    for container in case.traces.containers or ():
        if container.memory_limit and case.settings.ollama_runtime == "docker" and container.id == ours:
            found.append(Limit(container.memory_limit, "memory limit of the container"))
    cgroup = case.traces.cgroup
    if cgroup is not None and cgroup.limit:
        found.append(Limit(cgroup.limit, f"memory.max of {cgroup.path}"))
    real = [one for one in found if 0 < one.size < NO_LIMIT]
    return min(real, key=lambda one: one.size, default=None)


def total(case: HostEvidence) -> int | None:
    """Main memory that models can use: the limit, or all of the host's."""
    memory, smallest = case.facts.memory if case.facts else None, limit(case)
    if memory is None:
        return smallest.size if smallest else None
    return min(memory.total, smallest.size) if smallest else memory.total


def swap(case: HostEvidence) -> int:
    memory = case.facts.memory if case.facts else None
    return memory.swap_total if memory and limit(case) is None else 0


def vram(case: HostEvidence) -> int:
    """Of all GPUs."""
    if case.facts is None:
        return 0
    gpu = case.facts.gpu
    return sum(card.memory_total for card in gpu.nvidia or ()) + sum(card.memory_total for card in gpu.amd)


def host(case: HostEvidence) -> str:
    """`; the host has 32.0 GiB of memory and no swap`, or nothing."""
    memory = case.facts.memory if case.facts else None
    if memory is None:
        return ""
    more = f"{gib(memory.swap_total)} of swap" if memory.swap_total else "no swap"
    return f"; the host has {gib(memory.total)} of memory and {more}"


def when(line: str) -> str:
    """` at 14:02:11`, where the line begins with a time."""
    found = _TIME.match(line)
    return f" at {found[1] or found[2]}" if found else ""


def stamp(line: str) -> str:
    """ISO time at the start of a line, for comparing; empty where it has another form."""
    return line.split(maxsplit=1)[0] if re.match(r"\d{4}-\d\d-\d\dT", line) else ""


def victim(hit: Hit) -> str:
    """`llama-server (pid 812, 30.0 GiB resident) at 14:02:11`."""
    rss = hit.groups.get("rss")
    resident = f", {gib(int(rss) * 1024)} resident" if rss else ""
    return f"{hit.groups['comm']} (pid {hit.groups['pid']}{resident}){when(hit.line)}"
