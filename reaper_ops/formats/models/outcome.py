"""What was done to models on hosts, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from reaper_ops.core.models import names
from reaper_ops.core.models.outcome import Done, ModelsOutcome
from reaper_ops.core.values import counted, human_bytes
from reaper_ops.formats.visible import field, one_line

SCHEMA = "reaper-ops/models.outcome/1"
WORDS = {
    "pull": ("pulled", "was there"),
    "rm": ("removed", "was not there"),
    "prune": ("removed", "was not there"),
    "load": ("brought", "was there"),
    "preload": ("loaded", "was loaded"),
}


def as_text(found: ModelsOutcome) -> str:
    width = max((len(one.host) for one in found.done), default=0)
    wide = max((len(names.short(one.name)) for one in found.done), default=0)
    lines = [f"{one.host:{width}}  {names.short(one.name):{wide}}  {_result_of(found.verb, one)}" for one in found.done]
    lines += [f"{host}: {problem}" for host, problem in (found.problems or {}).items()]
    return "\n".join(map(one_line, [*lines, *found.notes, *([_sum(found)] if found.done or not found.notes else [])]))


def _result_of(verb: str, one: Done) -> str:
    if one.error:
        return f"FAILED: {one.error}; {one.next_step}"
    did, not_needed = WORDS[verb]
    parts = [did if one.changed else not_needed, one.digest[:12]]
    if one.bytes:
        parts.append(human_bytes(one.bytes))
        parts.append(f"in {one.seconds:.1f} s")
    if one.via == "api":
        parts.append("by its API")
    if one.attempts > 1:
        parts.append(f"{one.attempts} attempts")
    return "  ".join(part for part in parts if part)


def _sum(found: ModelsOutcome) -> str:
    hosts = {one.host for one in found.done} | set(found.problems or {})
    bad = {one.host for one in found.failed} | set(found.problems or {})
    fetched = sum(one.bytes for one in found.done if one.changed)
    did = sum(one.changed for one in found.done)
    text = f"{len(hosts) - len(bad)} of {len(hosts)} hosts are as asked; {counted(did, 'model')} {WORDS[found.verb][0]}"
    return f"{text}, {human_bytes(fetched)} fetched{_networks(found)}" if fetched else text


def _networks(found: ModelsOutcome) -> str:
    moved = found.traffic
    if moved is None:
        return ""
    parts = [f"{human_bytes(moved.wan)} over the internet"] if moved.wan else []
    if moved.lan:
        parts.append(f"{human_bytes(moved.lan)} on the site's network")
        parts.append(f"at most {human_bytes(moved.once)} of it from the internet (estimated: one copy of each)")
    return f": {', '.join(parts)}"


def as_json(found: ModelsOutcome) -> str:
    document = {
        "schema": SCHEMA,
        "verb": found.verb,
        "models": [asdict(one) for one in found.done],
        "problems": dict(found.problems or {}),
        "notes": found.notes,
        "traffic": asdict(found.traffic) if found.traffic else None,
    }
    return json.dumps(document, indent=2)


def as_lines(found: ModelsOutcome) -> str:
    rows = [f"{field(one.host)} {field(one.name)} {_word(one)} {field(one.digest or '-')}" for one in found.done]
    return "\n".join([*rows, *(f"{field(host)} - failed -" for host in found.problems or {})])


def _word(one: Done) -> str:
    return "failed" if one.error else "changed" if one.changed else "ok"


FORMATS: dict[str, Callable[[ModelsOutcome], str]] = {"text": as_text, "json": as_json, "lines": as_lines}
