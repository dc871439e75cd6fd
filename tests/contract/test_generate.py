"""What deep probes and keep-alive rely on: load, answer, numbers, unload, refusals; native, OpenAI and Anthropic."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from subject import Subject

DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
FEW = {"num_predict": 4, "seed": 1, "temperature": 0}
WORDS = [{"role": "user", "content": "the disk"}]
UNKNOWN = {
    "/api/generate": ({"prompt": "x"}, "model 'nosuch:7b' not found"),
    "/api/chat": ({"messages": WORDS}, "model 'nosuch:7b' not found"),
    "/api/embed": ({"input": "x"}, 'model "nosuch:7b" not found, try pulling it first'),
    "/api/embeddings": ({"prompt": "x"}, 'model "nosuch:7b" not found, try pulling it first'),
    "/v1/chat/completions": ({"messages": WORDS}, "model 'nosuch:7b' not found"),
    "/v1/completions": ({"prompt": "x"}, "model 'nosuch:7b' not found"),
    "/v1/messages": ({"messages": WORDS, "max_tokens": 5}, "model 'nosuch:7b' not found"),
}


def row_of(server: Subject, name: str) -> dict[str, Any] | None:
    return next((row for row in server.ask("GET", "/api/ps").json()["models"] if row["name"] == name), None)


def comes(predicate: Callable[[], bool]) -> bool:
    """What a server does after its answer has left takes a moment."""
    for _ in range(100):
        if predicate():
            return True
        time.sleep(0.05)
    return False


def test_an_empty_prompt_loads(server: Subject, runs: str) -> None:
    found = server.generate(runs).json()
    assert (found["response"], found["done"], found["done_reason"]) == ("", True, "load")
    assert "total_duration" not in found
    row = row_of(server, runs)
    assert row is not None
    assert row["size"] > 0
    assert 0 <= row["size_vram"] <= row["size"]
    assert row["context_length"] == 2048
    assert {"digest", "details", "expires_at", "model"} <= set(row)


def test_unload(server: Subject, runs: str) -> None:
    assert server.generate(runs, keep_alive=0).json()["done_reason"] == "unload"
    assert comes(lambda: row_of(server, runs) is None)
    assert server.generate(runs, keep_alive=0).json()["done_reason"] == "unload"


def test_keep_alive_for_ever(server: Subject, runs: str) -> None:
    server.generate(runs, keep_alive=-1)
    assert comes(lambda: int((row_of(server, runs) or {"expires_at": "0000"})["expires_at"][:4]) > 2200)
    server.generate(runs, keep_alive="5m")


def test_stream(server: Subject, runs: str) -> None:
    answer = server.generate(runs, prompt="the disk", options=FEW)
    assert (answer.status, answer.kind) == (200, "application/x-ndjson")
    *words, last = answer.lines()
    assert all(set(line) == {"model", "created_at", "response", "done"} for line in words)
    assert (last["done"], last["done_reason"], last["response"]) == (True, "length", "")
    assert all(isinstance(last[key], int) and last[key] > 0 for key in DURATIONS)
    assert last["eval_count"] == 4
    assert last["prompt_eval_count"] > 0
    assert last["total_duration"] >= last["load_duration"]
    assert all(isinstance(number, int) for number in last["context"])


def test_one_token_without_a_stream(server: Subject, runs: str) -> None:
    answer = server.generate(runs, prompt="hi", stream=False, options={"num_predict": 1})
    assert answer.kind == "application/json; charset=utf-8"
    assert answer.json()["eval_count"] == 1
    assert answer.json()["done_reason"] == "length"


def test_chat(server: Subject, runs: str) -> None:
    answer = server.ask("POST", "/api/chat", {"model": runs, "messages": WORDS, "options": FEW})
    *words, last = answer.lines()
    assert all(line["message"]["role"] == "assistant" for line in words)
    assert last["message"] == {"role": "assistant", "content": ""}
    assert last["done_reason"] == "length"
    assert "context" not in last
    empty = server.ask("POST", "/api/chat", {"model": runs, "messages": []}).json()
    assert empty["done_reason"] == "load"


def test_openai_chat(server: Subject, runs: str) -> None:
    request = {"model": runs, "messages": WORDS, "max_tokens": 3}
    answer = server.ask("POST", "/v1/chat/completions", request, headers={"Authorization": "Bearer sk-anything"})
    found = answer.json()
    assert answer.kind == "application/json"
    assert found["object"] == "chat.completion"
    assert found["choices"][0]["finish_reason"] == "length"
    assert found["usage"]["completion_tokens"] == 3


def test_openai_stream_ends_in_done(server: Subject, runs: str) -> None:
    request = {"model": runs, "messages": WORDS, "max_tokens": 3, "stream": True}
    answer = server.ask("POST", "/v1/chat/completions", request)
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert answer.kind == "text/event-stream"
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "length"


def test_anthropic_messages(server: Subject, runs: str) -> None:
    request = {"model": runs, "messages": WORDS, "max_tokens": 3}
    found = server.ask("POST", "/v1/messages", request).json()
    assert (found["type"], found["role"], found["stop_reason"]) == ("message", "assistant", "max_tokens")
    assert found["content"][0]["type"] == "text"
    assert found["usage"]["output_tokens"] == 3


def test_anthropic_stream(server: Subject, runs: str) -> None:
    request = {"model": runs, "messages": WORDS, "max_tokens": 3, "stream": True}
    answer = server.ask("POST", "/v1/messages", request)
    events = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert events[:2] == ["message_start", "content_block_start"]
    assert events[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown_model(server: Subject, path: str) -> None:
    more, text = UNKNOWN[path]
    answer = server.ask("POST", path, {"model": "nosuch:7b", **more})
    assert answer.status == 404
    assert answer.error() == text


def test_missing_model_field(server: Subject) -> None:
    generate = server.ask("POST", "/api/generate", {})
    chat = server.ask("POST", "/api/chat", {})
    assert (generate.status, generate.error()) == (404, "model '' not found")
    assert (chat.status, chat.error()) == (400, "model is required")


def test_embeddings_are_refused_by_a_completion_model(server: Subject, runs: str) -> None:
    text = "This server does not support embeddings. Start it with `--embeddings`"
    new = server.ask("POST", "/api/embed", {"model": runs, "input": "x"})
    old = server.ask("POST", "/api/embeddings", {"model": runs, "prompt": "x"})
    assert (new.status, new.error()) == (501, text)
    assert (old.status, old.error()) == (500, text)


def test_wrong_types(server: Subject, runs: str) -> None:
    option = server.generate(runs, prompt="x", stream=False, options={"num_ctx": "many"})
    assert (option.status, option.error()) == (500, 'option "num_ctx" must be of type integer')
    alive = server.generate(runs, keep_alive="5 minutes")
    assert (alive.status, alive.error()) == (400, 'time: unknown unit " minutes" in duration "5 minutes"')
    model = server.ask("POST", "/api/generate", {"model": 5})
    text = "json: cannot unmarshal number into Go struct field GenerateRequest.model of type string"
    assert (model.status, model.error()) == (400, text)


def test_abilities_that_the_model_lacks(server: Subject, runs: str) -> None:
    thinking = server.ask("POST", "/api/chat", {"model": runs, "messages": WORDS, "think": True})
    assert (thinking.status, thinking.error()) == (400, f'"{runs}" does not support thinking')
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    tools = server.ask("POST", "/api/chat", {"model": runs, "messages": WORDS, "tools": [tool]})
    assert (tools.status, tools.error()) == (400, f"{runs} does not support tools")


def test_cloud_models_are_refused_where_the_cloud_is_off(server: Subject) -> None:
    if not server.ask("GET", "/api/status").json()["cloud"]["disabled"]:
        pytest.skip("this server may use the cloud")
    answer = server.ask("POST", "/api/chat", {"model": "gpt-oss:120b-cloud", "messages": WORDS})
    assert (answer.status, answer.error()) == (403, "ollama cloud is disabled: remote model is unavailable")
