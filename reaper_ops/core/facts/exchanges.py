"""The server's own answers, asked from the host itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from reaper_ops.core.facts import places
from reaper_ops.core.facts.answers import Answers, Ask, number, text, whole
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.settings import Settings

PATHS = ("/api/version", "/api/tags", "/api/ps")


def asks(settings: Settings) -> list[Ask]:
    requests = [{"path": path, "timeout": 5} for path in PATHS]
    return [{"id": "api", "kind": "http", "base_url": places.local_url(settings), "requests": requests}]


def parse(answers: Answers) -> tuple[Exchange, ...]:
    rows = answers.get("api").get("exchanges")
    return tuple(_exchange(row) for row in rows if isinstance(row, Mapping)) if isinstance(rows, list) else ()


def _exchange(row: Mapping[str, Any]) -> Exchange:
    kept: dict[str, Any] = {}
    for field in fields(Exchange):
        value = row.get(field.name)
        if field.name in {"errno", "status"}:
            kept[field.name] = whole(value)
        elif field.name == "elapsed_ms":
            kept[field.name] = float(value) if isinstance(value, float) else float(number(str(value)) or 0)
        else:
            kept[field.name] = text(value) or ""
    return Exchange(**kept)
