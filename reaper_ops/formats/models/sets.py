"""Model sets and the models of each host, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from reaper_ops.core.models.desired import DesiredModels, ModelSet, overridden
from reaper_ops.formats.visible import field, one_line

SCHEMA = "reaper-ops/model-sets/1"
Render = Callable[[Sequence[ModelSet], Sequence[DesiredModels]], str]


def as_text(sets: Sequence[ModelSet], rows: Sequence[DesiredModels]) -> str:
    forms = overridden(sets)
    lines = [_set(one, several=forms[one.name] > 1) for one in sets] or ["no model sets; see ollama_model_sets"]
    width = max(len(row.host) for row in rows)
    for row in rows:
        asked = f"   ({', '.join(row.asked)})" if row.asked != row.models else ""
        lines.append(f"{row.host:{width}}  {', '.join(row.models) or 'no models'}{asked}")
    return "\n".join(map(one_line, lines))


def _set(one: ModelSet, *, several: bool) -> str:
    written = f"   ({', '.join(one.members)})" if one.members != one.models else ""
    where = f"   on {', '.join(one.hosts)}" if several else ""
    return f"@{one.name}  {', '.join(one.models) or 'empty'}{written}{where}"


def as_json(sets: Sequence[ModelSet], rows: Sequence[DesiredModels]) -> str:
    document = {
        "schema": SCHEMA,
        "sets": [{"name": one.name, "members": one.members, "models": one.models, "hosts": one.hosts} for one in sets],
        "hosts": [{"host": row.host, "asked": row.asked, "models": row.models} for row in rows],
    }
    return json.dumps(document, indent=2)


def as_lines(sets: Sequence[ModelSet], rows: Sequence[DesiredModels]) -> str:
    return "\n".join(f"{field(row.host)} {field(model)}" for row in rows for model in row.models)


FORMATS: dict[str, Render] = {"text": as_text, "json": as_json, "lines": as_lines}
