"""What to ask an Ollama server, and how to read what it answered. Observing only: no judgement here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reaper_ops.core.facts.exchanges import REQUESTS, Request
from reaper_ops.core.facts.model import Exchange

BODY_LIMIT = 4 << 20


@dataclass(frozen=True)
class Model:
    name: str
    digest: str = ""
    size: int | None = None


@dataclass(frozen=True)
class Loaded:
    """A row of /api/ps; a dead runner stays in it, so it does not prove that the model answers."""

    name: str
    digest: str = ""
    size: int | None = None
    size_vram: int | None = None
    expires_at: str = ""
    context: int | None = None


@dataclass(frozen=True)
class Answer:
    """What one token from a resident model came to; error is the server's text, also from inside a 200."""

    done: bool
    error: str = ""


@dataclass(frozen=True)
class Observation:
    """None where nothing readable was answered. failed: the step that ended the ladder."""

    host: str
    url: str
    exchanges: tuple[Exchange, ...] = ()
    version: str | None = None
    models: tuple[Model, ...] | None = None
    loaded: tuple[Loaded, ...] | None = None
    answer: Answer | None = None
    root: str | None = None
    failed: Exchange | None = None

    def latency_ms(self) -> dict[str, float]:
        return {exchange.path: exchange.elapsed_ms for exchange in self.exchanges}


def went_well(exchange: Exchange) -> bool:
    return not exchange.error and exchange.status == 200


def next_request(requests: Sequence[Request], done: Sequence[Exchange]) -> Request | None:
    """The next step for one host, or None: the first failure stops the ladder; then `/` shows who answers."""
    asked = {exchange.path for exchange in done}
    bad = next((exchange for exchange in done if not went_well(exchange)), None)
    wanted = "ok" if bad is None else "odd"
    if bad is not None and (bad.error or bad.status is None):
        return None
    return next((r for r in requests if r.on == wanted and r.path not in asked), None)


def deep_request(loaded: Sequence[Loaded] | None, timeout: float = 30.0) -> Request | None:
    """One token from a model that is resident already; nothing is ever loaded for a probe."""
    if not loaded:
        return None
    body = {"model": loaded[0].name, "prompt": "hi", "stream": False, "options": {"num_predict": 1}}
    context = loaded[0].context
    if context:
        body["options"] = {"num_predict": 1, "num_ctx": context}
    return Request("/api/generate", "POST", body, timeout)


Ladder = Callable[[Sequence[Exchange]], Request | None]


def ladder(requests: Sequence[Request] = REQUESTS, *, deep: bool = False) -> Ladder:
    """What to ask next, given what was answered: the whole conversation with one host."""

    def following(done: Sequence[Exchange]) -> Request | None:
        request = next_request(requests, done)
        if request is None and deep and done and done[-1].path == "/api/ps" and went_well(done[-1]):
            return deep_request(_loaded(done[-1]))
        return request

    return following


def observe(host: str, url: str, done: Sequence[Exchange]) -> Observation:
    """What the exchanges say; of several tries at one path the last counts. What cannot be read is None."""
    by_path = {exchange.path: exchange for exchange in done}
    failed = next((exchange for exchange in by_path.values() if not went_well(exchange)), None)
    root = by_path.get("/")
    return Observation(
        host=host,
        url=url,
        exchanges=tuple(done),
        version=_version(by_path.get("/api/version")),
        models=_models(by_path.get("/api/tags")),
        loaded=_loaded(by_path.get("/api/ps")),
        answer=_answer(by_path.get("/api/generate")),
        root=root.body if root is not None and root.status is not None else None,
        failed=failed,
    )


def error_text(exchange: Exchange) -> str:
    """The server's own words: ``error`` of the native, OpenAI and Anthropic shapes, or of the last line."""
    return _complaint(exchange.body)


@lru_cache(maxsize=32)
def _complaint(body: str) -> str:
    lines = body.strip().splitlines()
    return _error(_json(body)) or (_error(_json(lines[-1])) if lines else "")


def record(line: str) -> Mapping[str, Any] | None:
    """One line of an NDJSON stream; None for a blank line or anything that is not an object."""
    value = _json(line)
    return value if isinstance(value, Mapping) else None


def _error(value: object) -> str:
    error = value.get("error") if isinstance(value, Mapping) else None
    if isinstance(error, Mapping):
        error = error.get("message")
    return error if isinstance(error, str) else ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _version(exchange: Exchange | None) -> str | None:
    value = _object(exchange).get("version")
    return value if isinstance(value, str) and value else None


def _object(exchange: Exchange | None) -> Mapping[str, Any]:
    if exchange is None or not went_well(exchange):
        return {}
    value = _json(exchange.body)
    return value if isinstance(value, Mapping) else {}


def _rows(exchange: Exchange | None) -> list[Mapping[str, Any]] | None:
    value = _object(exchange)
    if "models" not in value:
        return None
    rows = value["models"]
    if rows is None:
        return []
    if not isinstance(rows, list):
        return None
    return [row for row in rows if isinstance(row, Mapping) and isinstance(row.get("name"), str)]


def _models(exchange: Exchange | None) -> tuple[Model, ...] | None:
    rows = _rows(exchange)
    if rows is None:
        return None
    return tuple(Model(row["name"], _text(row.get("digest")), _whole(row.get("size"))) for row in rows)


def _loaded(exchange: Exchange | None) -> tuple[Loaded, ...] | None:
    rows = _rows(exchange)
    if rows is None:
        return None
    return tuple(
        Loaded(
            row["name"],
            _text(row.get("digest")),
            _whole(row.get("size")),
            _whole(row.get("size_vram", 0)),
            _text(row.get("expires_at")),
            _whole(row.get("context_length")),
        )
        for row in rows
    )


def _answer(exchange: Exchange | None) -> Answer | None:
    if exchange is None:
        return None
    error = error_text(exchange)
    last = _json((exchange.body.strip().splitlines() or [""])[-1])
    done = went_well(exchange) and isinstance(last, Mapping) and last.get("done") is True
    return Answer(done and not error, error)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
