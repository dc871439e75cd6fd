from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.doctor import timing
from reaper_ops.core.facts.model import Exchange, Facts, System
from reaper_ops.core.facts.traces import Timing

RECORDED = Path(__file__).parents[2] / "cases" / "recorded"
EMPTY = Exchange("/api/ps", "done", status=200, body='{"models":[]}')
ROW = {"name": "mid", "size": 9, "size_vram": 0, "context_length": 2048}
LOADED = Exchange("/api/ps", "done", status=200, body=json.dumps({"models": [ROW]}))
BOTH = Exchange("/api/ps", "done", status=200, body=json.dumps({"models": [{"name": "emb", "size": 5}, ROW]}))
GOOD = Exchange("/api/generate", "done", status=200, body='{"done":true}')
UNABLE = Exchange("/api/generate", "done", status=400, body='{"error":"\\"emb\\" does not support generate"}')


def recorded(name: str) -> Exchange:
    said = json.loads((RECORDED / f"{name}.json").read_text())["response"]
    return Exchange(
        "/api/generate", "done", status=said["status"], body=said["body"], elapsed_ms=float(said["elapsed_ms"])
    )


def test_a_recorded_cold_start_is_mostly_load() -> None:
    found = timing.timing(recorded("generate-cold"), "tiny:1m", cold=True)
    assert (found.load, found.prompt_tokens, found.eval_tokens) == (0.258965065, 14, 12)
    assert (found.total, found.wall, found.error) == (0.49877869, 0.5007, "")
    assert timing.split([found]).largest == "load"
    assert timing.rate(found) == pytest.approx(273.1, abs=0.1)


def test_a_recorded_wait_behind_seven_others_is_queueing() -> None:
    found = timing.timing(recorded("queue-warm-7"), "mid")
    assert timing.queue(found) == pytest.approx(1.985, abs=0.001)
    assert timing.split([found]).largest == "queue"
    assert timing.split([timing.timing(recorded("queue-warm-0"), "mid")]).largest == "eval"


def test_a_refusal_is_an_error_and_no_time() -> None:
    found = timing.timing(recorded("queue-full-chat-stream"), "tiny:1m")
    assert found.error == "server busy, please try again.  maximum pending requests exceeded"
    assert timing.split([found]).largest == ""


def test_an_answer_of_the_old_engine_leaves_zeros_out() -> None:
    body = '{"model":"m","done":true,"total_duration":5000000000,"eval_count":10,"eval_duration":4000000000}'
    found = timing.timing(Exchange("/api/generate", "done", status=200, body=body), "m")
    assert (found.load, found.prompt, found.prompt_tokens, found.error) == (0.0, 0.0, 0, "")
    assert timing.queue(found) == 1.0


def paths(done: list[Exchange], **more: Any) -> tuple[str, str] | None:
    request = timing.ladder(**more)(done)
    return (request.path, (request.body or {}).get("model", "")) if request else None


def test_nothing_is_loaded_unasked() -> None:
    assert paths([]) == ("/api/ps", "")
    assert paths([EMPTY]) is None
    assert paths([EMPTY], load=["big"]) == ("/api/generate", "big")
    assert paths([LOADED], load=["big"]) == ("/api/generate", "mid")


def test_after_a_cold_answer_comes_a_warm_one() -> None:
    assert paths([EMPTY, GOOD], load=["mid"]) == ("/api/ps", "")
    assert paths([EMPTY, GOOD, LOADED], load=["mid"]) == ("/api/generate", "mid")
    assert paths([EMPTY, GOOD, LOADED, GOOD], load=["mid"]) is None
    assert paths([EMPTY, GOOD, EMPTY], load=["mid"]) is None
    conversation = [EMPTY, GOOD, LOADED, GOOD]
    found = timing.read(conversation, timing.ladder(["mid"]))
    assert [(t.cold, t.on_gpu) for t in found] == [(True, None), (False, 0.0)]


def test_without_settings_the_smallest_model_is_loaded() -> None:
    listed = '{"models":[{"name":"big","size":9},{"name":"small","size":3},{"name":"cloud","size":0}]}'
    tags = Exchange("/api/tags", "done", status=200, body=listed)
    assert paths([EMPTY], load=[]) == ("/api/tags", "")
    assert paths([EMPTY, tags], load=[]) == ("/api/generate", "small")
    assert paths([EMPTY, Exchange("/api/tags", "done", status=200, body='{"models":[]}')], load=[]) is None


def test_a_resident_model_for_embeddings_is_passed_over() -> None:
    assert paths([BOTH]) == ("/api/generate", "emb")
    assert paths([BOTH, UNABLE]) == ("/api/generate", "mid")
    assert [t.model for t in timing.read([BOTH, UNABLE, GOOD], timing.ladder())] == ["mid"]


def test_the_context_of_the_model_is_kept() -> None:
    request = timing.ladder()([LOADED])
    assert request is not None
    assert request.body is not None
    assert request.body["options"]["num_ctx"] == 2048
    assert "keep_alive" not in request.body


def test_timings_become_traces() -> None:
    found = timing.joined(Facts(host="a", system=System()), (Timing("m", False, 1.0),))
    assert found.traces is not None
    assert found.traces.timings == (Timing("m", False, 1.0),)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(max_size=80), st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps)))
def test_any_body_is_read(body: str) -> None:
    found = timing.timing(Exchange("/api/generate", "done", status=200, body=body), "m")
    assert found.error
    assert found.total == 0.0
