"""What `models pull` would do, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from reaper_ops.core.models import names
from reaper_ops.core.models.memory_headroom import MemoryHeadroom
from reaper_ops.core.models.plan import FleetPlan, HostPullPlan, Item
from reaper_ops.core.values import human_bytes
from reaper_ops.formats.visible import field, one_line

SCHEMA = "reaper-ops/models.plan/1"
SAID = {"fetch": "is not there", "replace": "is another version", "unlocked": "is not in the lock"}
ONCE = "a site mirror (`ollama_mirror`) or `models pull --strategy swarm`"


def as_text(found: FleetPlan) -> str:
    lines = [one_line(line) for one in found.hosts for line in _host(one, found.giver)]
    total = f"plan: {human_bytes(found.wan)} over the WAN, {human_bytes(found.lan)} over the LAN"
    if found.wan > found.once:
        total += f"\nthe same bytes cross the WAN several times; {ONCE} brings {human_bytes(found.once)} once"
    return "\n".join([*lines, "", total, *([one_line(found.note)] if found.note else [])])


def _host(one: HostPullPlan, giver: str) -> list[str]:
    if one.problem:
        return [f"{one.host}: {one.problem}", *_items(one, giver)]
    todo = [item for item in one.items if item.state != "there"]
    there = sum(item.state == "there" for item in one.items)
    parts = [f"{there} of {len(one.items)} models are there"]
    if todo:
        parts.append(f"{human_bytes(one.bytes)} to fetch")
    if one.seconds is not None:
        parts.append(f"about {_time(one.seconds)} at the rate of its last pulls")
    elif one.bytes:
        parts.append("no time is known, as no pull of it is on record")
    if one.free_after is not None:
        parts.append(f"{human_bytes(max(one.free_after, 0))} free after")
    lines = [f"{one.host}: {', '.join(parts)}", *_items(one, giver)]
    lines += [
        f"  remove   {name}: no longer wanted ({human_bytes(size)}); by `models prune`" for name, size in one.remove
    ]
    lines += [_excess(item, one.memory) for item in one.items if item.excess and one.memory]
    lines += [_rewrite(item, one.free_after) for item in one.items if item.rewrite]
    if one.too_full:
        lines.append("  error: too little room; free space, or set ollama_models_dir")
    return lines


def _items(one: HostPullPlan, giver: str) -> list[str]:
    return [_item(item, giver) for item in one.items if item.state != "there"]


def _item(item: Item, giver: str) -> str:
    place = giver if item.via == "lan" else "from its registry"
    size = f", {human_bytes(item.bytes)} {place}" if item.state != "unlocked" else ""
    return f"  {item.state:8} {names.short(item.name)}: {SAID[item.state]}{size}"


def _excess(item: Item, memory: MemoryHeadroom) -> str:
    """Facts alone: what the lock and the host's own figures say, and nothing of context or cache."""
    has = f"{human_bytes(memory.ram)} of RAM" + (f" and {human_bytes(memory.vram)} on GPUs" if memory.vram else "")
    weights = f"its weights alone are {human_bytes(item.weights)}"
    if item.excess == "gpu":
        end = f"more than the {human_bytes(memory.vram)} on GPUs: a part would run on the CPU"
    else:
        end = f"larger than the host's memory ({has}): it cannot be loaded"
    return f"  memory   {names.short(item.name)}: {weights}, {end}"


def _rewrite(item: Item, free: int | None) -> str:
    """A server from 0.40 on asks for this room each time, and goes on without."""
    most = f"its server may rewrite it at the first chat, with up to {human_bytes(item.rewrite)} more on disk"
    left = free is not None and free < item.rewrite
    return f"  rewrite  {names.short(item.name)}: {most}{'; it is left as it is, as there is less free' * left}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def as_json(found: FleetPlan) -> str:
    hosts = [
        {**asdict(one), "bytes": one.bytes, "free_after": one.free_after, "too_full": one.too_full}
        for one in found.hosts
    ]
    sums = {"wan_bytes": found.wan, "lan_bytes": found.lan, "wan_bytes_once": found.once, "note": found.note}
    return json.dumps({"schema": SCHEMA, **sums, "hosts": hosts}, indent=2)


def as_lines(found: FleetPlan) -> str:
    return "\n".join(
        f"{field(one.host)} {item.state} {field(item.name)} {item.bytes}" for one in found.hosts for item in one.items
    )


FORMATS: dict[str, Callable[[FleetPlan], str]] = {"text": as_text, "json": as_json, "lines": as_lines}
