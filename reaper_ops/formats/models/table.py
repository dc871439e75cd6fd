"""What hosts hold and have in memory, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from reaper_ops.core.models import names
from reaper_ops.core.models.model_inventory import Holding, LoadedModel
from reaper_ops.core.models.table import Cell, Table, TableLine
from reaper_ops.core.values import human_bytes
from reaper_ops.formats.visible import field, one_line

SCHEMA = "reaper-ops/models.list/1"
PS_SCHEMA = "reaper-ops/models.ps/1"
WIDE = 8
"""With more hosts than this, a line tells how many are in each state, and names those that are not well."""

FOR_EVER = "2200"
"""For a model that is kept forever, the server gives a time three centuries away."""


def as_text(found: Table) -> str:
    rows = _matrix(found) if len(found.hosts) <= WIDE else _summary(found)
    problems = [one_line(f"{host}: {problem}") for host, problem in found.problems.items()]
    return "\n".join([*_aligned(rows), *problems]) if len(rows) > 1 or problems else "no models"


def _matrix(found: Table) -> list[list[str]]:
    head = ["model", "size", "digest", *found.hosts]
    return [head, *([*_head(line), *(_cell(line.cells.get(host)) for host in found.hosts)] for line in found.lines)]


def _head(line: TableLine) -> list[str]:
    return [names.short(line.name), human_bytes(line.size) if line.size else "-", line.digest[:12] or "-"]


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    text = f"drift {cell.digest[:12]}" if cell.state == "drift" else f"{cell.state}{' (migrated)' * cell.migrated}"
    return f"{text}, loaded" if cell.loaded else text


def _summary(found: Table) -> list[list[str]]:
    return [["model", "size", "digest", "hosts"], *([*_head(line), _counts(line)] for line in found.lines)]


def _counts(line: TableLine) -> str:
    parts = []
    for state in ("ok", "unlocked", "drift", "missing", "extra", "unknown"):
        hosts = [host for host, cell in line.cells.items() if cell.state == state]
        named = f" ({', '.join(hosts[:5])}{', …' if len(hosts) > 5 else ''})" if state not in {"ok", "unlocked"} else ""
        parts += [f"{state} {len(hosts)}{named}"] if hosts else []
    loaded = sum(cell.loaded for cell in line.cells.values())
    return "; ".join([*parts, f"loaded {loaded}"] if loaded else parts)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    rows = [[one_line(text) for text in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def as_json(found: Table) -> str:
    document = {
        "schema": SCHEMA,
        "hosts": found.hosts,
        "models": [
            {
                "name": line.name,
                "digest": line.digest,
                "size": line.size,
                "hosts": {host: asdict(cell) for host, cell in line.cells.items()},
            }
            for line in found.lines
        ],
        "problems": dict(found.problems),
    }
    return json.dumps(document, indent=2)


def as_lines(found: Table) -> str:
    rows = [
        f"{field(host)} {field(line.name)} {cell.state} {field(cell.digest or '-')} {cell.size} "
        f"{'loaded' if cell.loaded else '-'}"
        for line in found.lines
        for host, cell in line.cells.items()
    ]
    return "\n".join(rows)


FORMATS: dict[str, Callable[[Table], str]] = {"text": as_text, "json": as_json, "lines": as_lines}


def ps(holdings: Sequence[Holding], problems: Mapping[str, str], output: str) -> str:
    """For people the problems are told beside it, on standard error."""
    rows = [(one.host, loaded) for one in holdings for loaded in one.loaded]
    if output == "json":
        models = [{"host": host, **asdict(one)} for host, one in rows]
        return json.dumps({"schema": PS_SCHEMA, "models": models, "problems": dict(problems)}, indent=2)
    if output == "lines":
        return "\n".join(
            f"{field(host)} {field(one.name)} {one.size} {one.vram} {one.context or '-'}" for host, one in rows
        )
    if not rows:
        return "no model is loaded"
    head = ["host", "model", "memory", "processor", "context", "until"]
    return "\n".join(_aligned([head, *(_ps_row(host, one) for host, one in rows)]))


def _ps_row(host: str, one: LoadedModel) -> list[str]:
    share = round(100 * one.vram / one.size) if one.size else 0
    where = "100% GPU" if share == 100 else "100% CPU" if share == 0 else f"{100 - share}%/{share}% CPU/GPU"
    until = "forever" if one.expires > FOR_EVER else one.expires.partition(".")[0].replace("T", " ") or "-"
    return [host, names.short(one.name), human_bytes(one.size), where, str(one.context or "-"), until]
