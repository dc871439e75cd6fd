"""Timing answers: what to ask of a server, how to read its own numbers, and where the time went. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from reaper_ops.core.facts.exchanges import Request
from reaper_ops.core.facts.model import Exchange, Facts
from reaper_ops.core.facts.traces import Timing, Traces
from reaper_ops.core.health.probe import Ladder, RunningModel, error_text, observe, record, went_well

GENERATE, PS, TAGS = "/api/generate", "/api/ps", "/api/tags"
TOKENS = 32
WARM_TIMEOUT = 60.0
COLD_TIMEOUT = 600.0


@dataclass(frozen=True)
class Shares:
    """Seconds by where they went. outside: what the client waited beyond the server's own total."""

    load: float = 0.0
    prompt: float = 0.0
    eval: float = 0.0
    queue: float = 0.0
    outside: float = 0.0

    @property
    def whole(self) -> float:
        return self.load + self.prompt + self.eval + self.queue + self.outside

    @property
    def largest(self) -> str:
        """The name of the largest share; empty when nothing was measured."""
        return max((f.name for f in fields(self)), key=self.seconds) if self.whole > 0 else ""

    def seconds(self, name: str) -> float:
        return float(getattr(self, name))


def warm(row: RunningModel, number: int = 0) -> Request:
    """A few tokens of a model that is resident. Its own context is sent along: another one would reload it."""
    options: dict[str, Any] = {"num_predict": TOKENS, "seed": 1, "temperature": 0}
    if row.context:
        options["num_ctx"] = row.context
    return Request(GENERATE, "POST", _body(row.name, number, options), WARM_TIMEOUT)


def cold(model: str, number: int = 0) -> Request:
    """The same of a model that is not: this loads it, so it is sent only when somebody asked for that."""
    return Request(GENERATE, "POST", _body(model, number, {"num_predict": TOKENS}), COLD_TIMEOUT)


def _body(model: str, number: int, options: Mapping[str, Any]) -> dict[str, Any]:
    prompt = f"Number {number + 1}. Count slowly from one to twenty, in words."
    return {"model": model, "prompt": prompt, "stream": False, "options": dict(options)}


def ladder(load: Sequence[str] | None = None, number: int = 0) -> Ladder:
    """The conversation with one server: what is resident, then one answer of it.

    load: when nothing is resident, the first of these is loaded, or the smallest model that is there where none is
    named; then the cold answer comes before the warm one. None loads nothing. A resident model that cannot generate
    (embeddings) is passed over. number makes prompts differ.
    """

    def following(done: Sequence[Exchange]) -> Request | None:
        if not done:
            return Request(PS, timeout=10.0)
        last, answers = done[-1], [exchange for exchange in done if exchange.path == GENERATE]
        rows = _resident(done)
        if last.path == GENERATE:
            if _unable(last):
                return warm(rows[len(answers)], number) if len(answers) < len(rows) else None
            return Request(PS, timeout=10.0) if not rows and went_well(last) and len(answers) == 1 else None
        if not went_well(last):
            return None
        if rows:
            return warm(rows[0], number + 10 * len(answers))
        return None if load is None or answers else _loading(load, done, number)

    return following


def _loading(load: Sequence[str], done: Sequence[Exchange], number: int) -> Request | None:
    listed = observe("", "", done).models
    if not load and listed is None:
        return Request(TAGS, timeout=10.0)
    there = sorted((model for model in listed or () if model.size), key=lambda model: model.size or 0)
    name = load[0] if load else there[0].name if there else ""
    return cold(name, number) if name else None


def _resident(done: Sequence[Exchange]) -> list[RunningModel]:
    """Of the last /api/ps; models of the cloud have no size."""
    listed = [exchange for exchange in done if exchange.path == PS]
    return [row for row in (observe("", "", listed[-1:]).loaded or ()) if row.size]


def _unable(exchange: Exchange) -> bool:
    return exchange.status in {400, 501}


def read(done: Sequence[Exchange], ladder: Ladder, parallel: int = 1) -> tuple[Timing, ...]:
    """The answers of one conversation, each with what had been asked."""
    found: list[Timing] = []
    for place, exchange in enumerate(done):
        request = ladder(done[:place]) if exchange.path == GENERATE else None
        if request is not None and request.body is not None and not _unable(exchange):
            name, rows = str(request.body["model"]), _resident(done[:place])
            one = timing(exchange, name, cold=not rows, parallel=parallel)
            found.append(replace(one, on_gpu=next((_share(row) for row in rows if row.name == name), None)))
    return tuple(found)


def _share(row: RunningModel) -> float | None:
    return min(row.size_vram or 0, row.size) / row.size if row.size else None


def timing(exchange: Exchange, model: str, *, cold: bool = False, parallel: int = 1) -> Timing:
    """The server's own numbers in the last object of an answer. Any body is taken; a zero is left out by servers."""
    lines = exchange.body.strip().splitlines()
    last: Mapping[str, Any] = (record(lines[-1]) if lines else None) or {}
    error = error_text(exchange) or exchange.error
    if not error and (exchange.status != 200 or last.get("done") is not True):
        error = f"HTTP {exchange.status}" if exchange.status != 200 else "no final object"
    return Timing(
        model=model,
        cold=cold,
        wall=exchange.elapsed_ms / 1000,
        total=_seconds(last, "total_duration"),
        load=_seconds(last, "load_duration"),
        prompt=_seconds(last, "prompt_eval_duration"),
        prompt_tokens=_count(last, "prompt_eval_count"),
        eval=_seconds(last, "eval_duration"),
        eval_tokens=_count(last, "eval_count"),
        error=error,
        parallel=parallel,
    )


def _count(last: Mapping[str, Any], key: str) -> int:
    value = last.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 62 else 0


def _seconds(last: Mapping[str, Any], key: str) -> float:
    return _count(last, key) / 1e9


def queue(found: Timing) -> float:
    """Seconds in which the server did nothing for this request."""
    return max(0.0, found.total - found.load - found.prompt - found.eval)


def rate(found: Timing) -> float:
    """Tokens per second of the answer itself; 0 when too few came to tell."""
    return found.eval_tokens / found.eval if found.eval_tokens > 1 and found.eval > 0 else 0.0


def split(timings: Sequence[Timing]) -> Shares:
    """Where the time of all these answers went; those that failed say nothing."""
    good = [found for found in timings if not found.error]
    return Shares(
        load=sum(found.load for found in good),
        prompt=sum(found.prompt for found in good),
        eval=sum(found.eval for found in good),
        queue=sum(queue(found) for found in good),
        outside=sum(max(0.0, found.wall - found.total) for found in good if found.total),
    )


def alone(timings: Sequence[Timing]) -> Timing | None:
    """The warm answer that was asked for by itself."""
    return next((t for t in timings if not t.cold and t.parallel == 1 and not t.error), None)


def at_start(timings: Sequence[Timing]) -> Timing | None:
    """The answer that began with a load."""
    return next((t for t in timings if t.cold and not t.error), None)


def together(timings: Sequence[Timing]) -> tuple[Timing, ...]:
    """Those that were sent at the same moment."""
    return tuple(t for t in timings if t.parallel > 1 and not t.error)


def joined(facts: Facts, timings: tuple[Timing, ...]) -> Facts:
    """The facts with what was measured."""
    return replace(facts, traces=replace(facts.traces or Traces(), timings=timings))
