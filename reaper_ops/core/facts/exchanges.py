"""The steps of a probe as data, and the server's own answers to them, asked from the host itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from reaper_ops.core import typed
from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, decimal, mapping, whole
from reaper_ops.core.facts.exchange import TELLING
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.inventory.settings import Settings

BODY_LIMIT = 4 << 20
SHOWN = 300


@dataclass(frozen=True)
class Request:
    """One step of the ladder. on: ``ok`` while all went well, ``odd`` after an answer that was not a 200."""

    path: str
    method: str = "GET"
    body: Mapping[str, Any] | None = None
    timeout: float = 5.0
    on: str = "ok"


REQUESTS = (
    Request("/api/version"),
    Request("/api/tags"),
    Request("/api/ps", timeout=10.0),
    Request("/", on="odd"),
)


def asks(settings: Settings) -> list[Ask]:
    return [ask("api", settings, REQUESTS)]


def ask(name: str, settings: Settings, requests: Sequence[Request]) -> Ask:
    """The requests as plain data, for the module that sends them on the host itself."""
    rows = [asdict(request) for request in requests]
    return {"id": name, "kind": "http", "base_url": places.local_url(settings), "requests": rows}


def parse(answers: Answers) -> tuple[Exchange, ...]:
    return rows(answers.get("api").get("exchanges"))


def rows(raw: object) -> tuple[Exchange, ...]:
    """Exchanges out of plain data, as the module returns them. Any input is taken."""
    return tuple(_exchange(row) for row in raw if isinstance(row, Mapping)) if isinstance(raw, list) else ()


def _exchange(row: Mapping[str, Any]) -> Exchange:
    kept: dict[str, Any] = {}
    for field in fields(Exchange):
        value = row.get(field.name)
        if field.name in {"errno", "status"}:
            kept[field.name] = whole(value)
        elif field.name == "elapsed_ms":
            kept[field.name] = decimal(value) or 0.0
        elif field.name == "headers":
            rows = list(mapping(value).items())[: len(TELLING)]
            kept[field.name] = {typed.words(name, SHOWN): typed.words(said, SHOWN) for name, said in rows}
        else:
            kept[field.name] = typed.words(value, BODY_LIMIT if field.name == "body" else SHOWN)
    return Exchange(**kept)
