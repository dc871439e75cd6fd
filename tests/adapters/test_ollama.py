from __future__ import annotations

import pytest
from servers import free_port, http_server

from reaper_ops.adapters import ollama
from reaper_ops.core.facts.exchanges import Request
from reaper_ops.errors import CommandError

PULL = Request("/api/pull", "POST", {"model": "tiny"}, timeout=2)


def test_a_stream_gives_its_objects() -> None:
    lines = '{"status":"pulling manifest"}\n\n[1]\n{"status":"success"}\n'
    with http_server({"/api/pull": (200, lines)}) as server:
        found = list(ollama.stream(server.url, PULL))
    assert found == [{"status": "pulling manifest"}, {"status": "success"}]


def test_an_error_inside_a_200_stream_is_raised() -> None:
    lines = '{"status":"pulling manifest"}\n{"error":"pull model manifest: file does not exist"}\n'
    with http_server({"/api/pull": (200, lines)}) as server, pytest.raises(ollama.RequestRefused) as caught:
        list(ollama.stream(server.url, PULL))
    assert "file does not exist" in str(caught.value)


def test_an_error_status_of_a_stream_is_raised() -> None:
    answer = (400, '{"error":"invalid model name"}')
    with http_server({"/api/pull": answer}) as server, pytest.raises(ollama.RequestRefused) as caught:
        list(ollama.stream(server.url, PULL))
    assert (caught.value.status, caught.value.text) == (400, "invalid model name")


def test_a_stream_from_nowhere_names_place_problem_and_next_step() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(CommandError) as caught:
        list(ollama.stream(url, PULL))
    assert str(caught.value) == (
        f"{url}/api/pull: connection refused: nothing listens there; `reaper-ops probe` says why"
    )


def test_call_returns_the_object_or_raises() -> None:
    answers = {"/api/version": {"version": "1"}, "/api/show": (404, '{"error":"model \'x\' not found"}')}
    with http_server(answers) as server:
        assert ollama.call(server.url, Request("/api/version")) == {"version": "1"}
        with pytest.raises(ollama.RequestRefused) as caught:
            ollama.call(server.url, Request("/api/show", "POST", {"model": "x"}))
    assert caught.value.status == 404
