"""Turns of a model: what generate, chat and the compatible APIs have in common."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from . import config as settings
from . import log
from .app import ApiError, App
from .gguf import BadFile
from .runner import LoadError, Runner, RunnerDied
from .sched import Busy
from .store import LabModel
from .web import HungUp, ServedExchange, dumps

_INTEGERS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "seed", "num_predict", "top_k")
_OTHERS = (
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_last_n",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "use_mmap",
    "numa",
    "draft_num_predict",
)
_DIED = "an error was encountered while running the model: unexpected EOF"
_NANO = 1_000_000_000


def stamp(when: float | None = None) -> str:
    """RFC 3339 with nanoseconds, in UTC; works beyond the year 2262 that JSON time-outs reach."""
    if when is None:
        nanos = time.time_ns()
        return (
            datetime.fromtimestamp(nanos // _NANO, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
            + f".{nanos % _NANO:09d}Z"
        )
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=when)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + f"{time.time_ns() % 1000:03d}Z"


def keep_alive(body: dict[str, Any]) -> float | None:
    value = body.get("keep_alive")
    if value is None:
        return None
    try:
        return settings.seconds(str(int(value)) if isinstance(value, (int, float)) else str(value))
    except ValueError as error:
        raise ApiError(400, str(error)) from None


def options(body: dict[str, Any]) -> dict[str, Any]:
    found = body.get("options") or {}
    for key, value in found.items():
        if key in _INTEGERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ApiError(500, f'option "{key}" must be of type integer')
        if key not in _INTEGERS + _OTHERS:
            log.slog("WARN", "types.go:1052", "invalid option provided", option=key)
    return dict(found)


def tokens(text: str) -> list[int]:
    return [byte + 3 for byte in ("▁" + text.replace(" ", "▁")).encode()]


@dataclass
class Turn:
    """One answer: its words as they come, then its numbers."""

    model: LabModel
    prompt: str
    options: dict[str, Any]
    runner: Runner
    started: int
    load_ns: int
    stream_error_after: int | None = None
    die_after: int | None = None
    words: list[str] = field(default_factory=list)
    first_ns: int = 0
    end_ns: int = 0
    reason: str = "stop"

    def speak(self) -> Iterator[str]:
        wanted = int(self.options.get("num_predict") or -1)
        count = wanted if wanted > 0 else 24
        self.reason = "length" if wanted > 0 else "stop"
        request = {"prompt": self.prompt, "words": count, "die_after": self.die_after}
        if "seed" in self.options:
            request["seed"] = self.options["seed"]
        begun = time.monotonic_ns()
        try:
            for word in self.runner.answer(request):
                if not self.words:
                    self.first_ns = time.monotonic_ns() - begun
                self.words.append(word)
                yield word
                if len(self.words) == self.stream_error_after:
                    raise ApiError(500, "an error was encountered while running the model: simulated error")
        except RunnerDied:
            raise ApiError(500, _DIED) from None
        self.end_ns = time.monotonic_ns()

    @property
    def prompt_count(self) -> int:
        return len(tokens(self.prompt)) + 1

    def numbers(self) -> dict[str, Any]:
        total = self.end_ns - self.started
        return {
            "total_duration": total,
            "load_duration": self.load_ns,
            "prompt_eval_count": self.prompt_count,
            "prompt_eval_duration": max(self.first_ns // 1000 * 1000, 1000),
            "eval_count": len(self.words),
            "eval_duration": max((total - self.load_ns - self.first_ns) // 1000 * 1000, 1000),
        }


@contextlib.contextmanager
def loaded(app: App, exchange: ServedExchange, model: LabModel, body: dict[str, Any], prompt: str) -> Iterator[Turn]:
    """The model in memory for one turn; every way in which that fails becomes the API's answer."""
    started = time.monotonic_ns()
    wanted = options(body)
    alive = keep_alive(body)
    try:
        with app.scheduler.use(model, wanted, alive, exchange.gone) as runner:
            turn = Turn(model, prompt, wanted, runner, started, time.monotonic_ns() - started)
            if app.faults.on("stream-error"):
                turn.stream_error_after = app.faults.option("stream-error", "after", 3)
            if app.faults.on("oom-kill"):
                turn.die_after = app.faults.option("oom-kill", "after", 4)
            _hang(app, exchange)
            _fits(turn, body)
            yield turn
    except Busy as error:
        raise ApiError(503, str(error)) from None
    except LoadError as error:
        raise ApiError(error.status, str(error)) from None
    except BadFile as error:
        raise ApiError(500, str(error)) from None


def _hang(app: App, exchange: ServedExchange) -> None:
    while app.faults.on("hang"):
        if exchange.gone():
            raise HungUp
        time.sleep(0.05)


def _fits(turn: Turn, body: dict[str, Any]) -> None:
    room = turn.runner.load.context
    if body.get("truncate") is False and turn.prompt_count > room:
        text = f"request ({turn.prompt_count} tokens) exceeds the available context size ({room} tokens)"
        inner = {
            "code": 400,
            "message": f"{text}, try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": turn.prompt_count,
            "n_ctx": room,
        }
        raise ApiError(400, dumps({"error": inner}))
