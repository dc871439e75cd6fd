"""What to ask an Ollama server, and how to read what it answered. Observing only: no judgement here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reaper_ops.core import typed
from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.exchanges import REQUESTS, Request
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.facts.store_layout import is_shadow
from reaper_ops.core.models.pull_steps import is_lease

BODY_LIMIT = exchanges.BODY_LIMIT


@dataclass(frozen=True)
class ListedModel:
    name: str
    digest: str = ""
    size: int | None = None


@dataclass(frozen=True)
class RunningModel:
    """A row of /api/ps; a dead runner stays in it, so it does not prove that the model answers."""

    name: str
    digest: str = ""
    size: int | None = None
    size_vram: int | None = None
    expires_at: str = ""
    context: int | None = None


@dataclass(frozen=True)
class GenerateAnswer:
    """What one token from a resident model came to; error is the server's text, also from inside a 200."""

    done: bool
    error: str = ""


@dataclass(frozen=True)
class Observation:
    """None where nothing readable was answered. failed: the step that ended the ladder.

    odd: rows that are no model's, and so left out of models and loaded.
    """

    host: str
    url: str
    exchanges: tuple[Exchange, ...] = ()
    version: str | None = None
    models: tuple[ListedModel, ...] | None = None
    loaded: tuple[RunningModel, ...] | None = None
    answer: GenerateAnswer | None = None
    root: str | None = None
    failed: Exchange | None = None
    odd: tuple[str, ...] = ()

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


def deep_request(loaded: Sequence[RunningModel] | None, timeout: float = 30.0) -> Request | None:
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
            found = listing(done[-1])
            return deep_request(found.loaded if found else None)
        return request

    return following


def observe(host: str, url: str, done: Sequence[Exchange]) -> Observation:
    """What the exchanges say; of several tries at one path the last counts. What cannot be read is None."""
    by_path = {exchange.path: exchange for exchange in done}
    failed = next((exchange for exchange in by_path.values() if not went_well(exchange)), None)
    root = by_path.get("/")
    tags, ps = listing(by_path.get("/api/tags")), listing(by_path.get("/api/ps"))
    return Observation(
        host=host,
        url=url,
        exchanges=tuple(done),
        version=_version(by_path.get("/api/version")),
        models=None if tags is None else tags.models,
        loaded=None if ps is None else ps.loaded,
        answer=_answer(by_path.get("/api/generate")),
        root=root.body if root is not None and root.status is not None else None,
        failed=failed,
        odd=tuple(dict.fromkeys(row for found in (tags, ps) if found for row in found.odd)),
    )


def error_text(exchange: Exchange) -> str:
    """The server's own words: ``error`` of the native, OpenAI and Anthropic shapes, or of the last line."""
    return _complaint(exchange.body)


@lru_cache(maxsize=32)
def _complaint(body: str) -> str:
    last = body.strip().rpartition("\n")[2]
    return str(typed.complaint(typed.document(body)) or typed.complaint(typed.document(last)))


def record(line: str) -> Mapping[str, Any] | None:
    """One line of an NDJSON stream; None for a blank line or anything that is not an object."""
    value = typed.document(line)
    return value if isinstance(value, Mapping) else None


def _version(exchange: Exchange | None) -> str | None:
    found: str | None = typed.version(_object(exchange).get("version"))
    return found


def _object(exchange: Exchange | None) -> Mapping[str, Any]:
    if exchange is None or not went_well(exchange):
        return {}
    found: Mapping[str, Any] = typed.mapping(exchange.body)
    return found


@dataclass(frozen=True)
class Listing:
    """What /api/tags or /api/ps lists; odd: what of it is no model."""

    rows: tuple[Mapping[str, Any], ...]
    odd: tuple[str, ...]

    @property
    def models(self) -> tuple[ListedModel, ...]:
        """Each once, for a server from 0.40 on may list a model for each engine; none that is a server's own name."""
        rows: dict[str, Mapping[str, Any]] = {}
        for row in self.rows:
            if not (is_lease(row["name"]) or is_shadow(row["name"])):
                rows.setdefault(row["name"], row)
        return tuple(ListedModel(row["name"], row["digest"], row["size"]) for row in rows.values())

    @property
    def loaded(self) -> tuple[RunningModel, ...]:
        return tuple(map(_loaded, self.rows))


def listing(exchange: Exchange | None) -> Listing | None:
    """None where there is no list to be read."""
    found = typed.rows(exchange.body) if exchange is not None and went_well(exchange) else None
    return None if found is None else Listing(tuple(found[0]), tuple(found[1]))


def _loaded(row: Mapping[str, Any]) -> RunningModel:
    return RunningModel(
        row["name"],
        row["digest"],
        row["size"],
        row.get("size_vram", 0),
        row.get("expires_at", ""),
        row.get("context_length"),
    )


def _answer(exchange: Exchange | None) -> GenerateAnswer | None:
    if exchange is None:
        return None
    error = error_text(exchange)
    last = typed.document(exchange.body.strip().rpartition("\n")[2])
    done = went_well(exchange) and isinstance(last, Mapping) and last.get("done") is True
    return GenerateAnswer(done and not error, error)
