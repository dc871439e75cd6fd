from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.doctor.rules.state import judge
from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.exchanges import REQUESTS
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health import probe
from reaper_ops.core.health.report import State
from reaper_ops.core.inventory.settings import Settings

VERSION = Exchange("/api/version", "done", status=200, body='{"version":"0.35.1"}')
TAGS = Exchange("/api/tags", "done", status=200, body='{"models":[{"name":"a:1b","digest":"ff","size":7}]}')
PS = Exchange(
    "/api/ps",
    "done",
    status=200,
    body='{"models":[{"name":"a:1b","size":9,"size_vram":4,"expires_at":"2026-01-01T00:00:00Z","context_length":512}]}',
)


def test_observation_of_a_healthy_server() -> None:
    seen = probe.observe("h", "http://h:11434", [VERSION, TAGS, PS])
    assert seen.version == "0.35.1"
    assert seen.models == (probe.ListedModel("a:1b", "ff", 7),)
    assert seen.loaded == (probe.RunningModel("a:1b", "", 9, 4, "2026-01-01T00:00:00Z", 512),)
    assert seen.failed is None


def test_size_vram_that_is_not_there_is_zero_and_null_lists_are_empty() -> None:
    row = Exchange("/api/ps", "done", status=200, body='{"models":[{"name":"a","size":9}]}')
    seen = probe.observe("h", "u", [row, Exchange("/api/tags", "done", status=200, body='{"models":null}')])
    assert seen.loaded == (probe.RunningModel("a", size=9, size_vram=0),)
    assert seen.models == ()


def test_a_model_with_a_row_for_each_engine_is_one_and_what_a_migration_left_is_none() -> None:
    rows = [{"name": "a:1b", "digest": "f" * 64, "size": 7}] * 2
    rows.append({"name": f"llamacpp:{'0' * 64}", "digest": "0" * 64, "size": 9})
    seen = probe.observe("h", "u", [Exchange("/api/tags", "done", status=200, body=json.dumps({"models": rows}))])
    assert seen.models == (probe.ListedModel("a:1b", "f" * 64, 7),)


def test_the_ladder_stops_at_the_first_failure() -> None:
    ladder = probe.ladder()
    assert ladder([]) == REQUESTS[0]
    assert ladder([VERSION]) == REQUESTS[1]
    assert ladder([VERSION, TAGS]) == REQUESTS[2]
    assert ladder([VERSION, TAGS, PS]) is None
    assert ladder([Exchange("/api/version", "connect", "refused", errno=111)]) is None


def test_an_odd_answer_is_looked_at_once() -> None:
    odd = Exchange("/api/version", "done", status=404, body="no")
    following = probe.ladder()([odd])
    assert following is not None
    assert following.path == "/"
    assert probe.ladder()([odd, Exchange("/", "done", status=200, body="x")]) is None


def test_of_several_addresses_the_one_that_answered_counts() -> None:
    refused = Exchange("/api/version", "connect", "refused", errno=111, address="[::1]:11434")
    assert probe.observe("h", "u", [refused, VERSION, TAGS, PS]).failed is None


def test_deep_asks_only_a_resident_model() -> None:
    ladder = probe.ladder(deep=True)
    request = ladder([VERSION, TAGS, PS])
    assert request is not None
    assert request.body == {
        "model": "a:1b",
        "prompt": "hi",
        "stream": False,
        "options": {"num_predict": 1, "num_ctx": 512},
    }
    empty = Exchange("/api/ps", "done", status=200, body='{"models":[]}')
    assert ladder([VERSION, TAGS, empty]) is None
    assert ladder([VERSION, TAGS, PS, Exchange("/api/generate", "read", "timeout")]) is None


def test_an_error_in_a_200_stream_is_no_answer() -> None:
    lines = '{"response":"a","done":false}\n{"error":"unexpected EOF"}\n'
    seen = probe.observe("h", "u", [Exchange("/api/generate", "done", status=200, body=lines)])
    assert seen.answer == probe.GenerateAnswer(False, "unexpected EOF")
    cut = probe.observe("h", "u", [Exchange("/api/generate", "done", status=200, body=lines.splitlines()[0])])
    assert cut.answer == probe.GenerateAnswer(False, "")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"error":"a"}', "a"),
        ('{"error":{"message":"b","type":"api_error"}}', "b"),
        ('{"type":"error","error":{"type":"x","message":"c"}}', "c"),
        ('{"done":false}\n{"error":"d"}', "d"),
        ("<html>", ""),
        ("", ""),
    ],
)
def test_error_texts_of_all_shapes(body: str, text: str) -> None:
    assert probe.error_text(Exchange("/x", "done", status=500, body=body)) == text


def test_exchanges_survive_the_way_over_ansible() -> None:
    sent = (VERSION, Exchange("/api/tags", "connect", "refused", "d", 111, "127.0.0.1:1", elapsed_ms=0.5))
    assert exchanges.rows(json.loads(json.dumps([asdict(e) for e in sent]))) == sent


def test_requests_are_plain_data() -> None:
    ask = json.loads(json.dumps(exchanges.ask("api", Settings(), REQUESTS)))
    assert [row["path"] for row in ask["requests"]] == ["/api/version", "/api/tags", "/api/ps", "/"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["models", "name", "size", "size_vram", "version", "error", "message"]), inner
        )
    ),
    max_leaves=12,
)
BODIES = st.one_of(st.text(max_size=60), JSON.map(json.dumps))
EXCHANGES = st.builds(
    Exchange,
    path=st.sampled_from(["/api/version", "/api/tags", "/api/ps", "/api/generate", "/"]),
    phase=st.sampled_from(["resolve", "connect", "tls", "send", "read", "done"]),
    error=st.sampled_from(["", "dns", "refused", "timeout", "unreachable", "tls", "reset", "closed", "protocol"]),
    status=st.sampled_from([None, 200, 204, 301, 400, 403, 404, 500, 503]),
    body=BODIES,
    elapsed_ms=st.floats(0, 1e4),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EXCHANGES, max_size=5), st.text(max_size=20))
def test_no_conversation_breaks_observer_or_judge(done: list[Exchange], url: str) -> None:
    seen = probe.observe("h", url, done)
    assert judge(Settings(), seen, None, ["llama3"]).state in set(State)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_any_data_is_read_as_exchanges(raw: object) -> None:
    for exchange in exchanges.rows([raw, {"path": raw, "status": raw, "elapsed_ms": raw, "errno": raw}]):
        assert isinstance(exchange, Exchange)


@settings(max_examples=200, deadline=None)
@given(BODIES)
def test_any_line_is_a_record_or_nothing(line: str) -> None:
    assert probe.record(line) is None or isinstance(probe.record(line), dict)
