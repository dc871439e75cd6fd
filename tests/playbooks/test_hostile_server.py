"""The host's own modules at a server or a registry that means harm: a row with its reason, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hostile_answers import DEEP, LINES, http
from servers import OLLAMA, http_server, raw_server

MODULE = "ollama_pull"
LISTS = ["[1]", DEEP, '{"models":{"a":1}}', '{"models":"x"}', "", "<html>"]


def pulling(lines: str) -> dict[str, Any]:
    return {**OLLAMA, "/api/tags": {"models": []}, "/api/pull": (200, lines + "\n")}


@pytest.mark.parametrize(
    "kind", ["completed is text", "digest is a list", "nested deeply", "a megabyte without a line's end"]
)
def test_a_line_that_is_none_fails_this_model(module: Callable[..., Any], kind: str) -> None:
    with http_server(pulling(LINES[kind])) as server:
        found = module(url=server.url, models=["127.0.0.1:9/library/a:1"], retries=0, stall_timeout=5)
    assert found["failed"]
    assert "the server sends a line" in found["models"][0]["error"]
    assert "Traceback" not in json.dumps(found)


@pytest.mark.parametrize("body", LISTS)
def test_a_list_that_is_none_is_said(module: Callable[..., Any], body: str) -> None:
    with http_server({**OLLAMA, "/api/tags": (200, body)}) as server:
        found = module(url=server.url, models=["a:1"])
    assert "/api/tags returns no list of models" in found["msg"]


def test_names_that_are_none_are_no_models(module: Callable[..., Any]) -> None:
    rows = [{"name": "a/b/c/d:1"}, {"name": 7}, {}, 7, {"name": "a:1", "digest": "ab"}]
    with http_server({**OLLAMA, "/api/tags": {"models": rows}}) as server:
        found = module(url=server.url, models=["a:1"])
    assert [(row["name"], row["error"]) for row in found["models"]] == [("a:1", "")]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(b"", b"Location: http://169.254.169.254/x", status=b"302 x"), "which is another host"),
        (http(b"", b"Location: file:///etc/passwd", status=b"302 x"), "file"),
        (http(b"x", b"Content-Encoding: gzip"), "compressed"),
        (http(b" " * (9 << 20)), "sends more than 8388608 bytes"),
        (http(DEEP.encode()), "does not answer with a manifest"),
        (http(b'{"config":{"digest":"sha256:aa","size":-1},"layers":[]}'), "does not answer with a manifest"),
    ],
)
def test_what_a_registry_may_not_say_is_a_note(module: Callable[..., Any], answer: bytes, words: str) -> None:
    path = "/v2/library/a/manifests/1"
    with (
        http_server({path: lambda handler: handler.wfile.write(answer)}) as registry,
        http_server(pulling('{"error":"no"}')) as server,
    ):
        host = registry.url.removeprefix("http://")
        found = module(url=server.url, models=[f"{host}/library/a:1"], insecure_registries=[host], retries=0)
    [row] = found["models"]
    assert words in " ".join([*row["notes"], row["error"]])


def test_interim_answers_without_end_are_ended(module: Any) -> None:
    """Each byte is in time, the whole never is."""

    def drip(peer: Any) -> None:
        peer.settimeout(20)
        try:
            while True:
                peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        except OSError:
            return

    ask = {"id": "api", "kind": "http", "requests": [{"path": "/api/version", "timeout": 0.3}]}
    with raw_server(drip) as url:
        read = type(module)("reaper_read")
        [exchange] = read(asks=[{**ask, "base_url": url}])["answers"]["api"]["exchanges"]
    assert (exchange["error"], exchange["status"]) == ("timeout", None)


LACKS = "the server said success, but 127.0.0.1:9/library/a:1 is not in its list"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], LACKS),
        ([{"name": "127.0.0.1:9/library/other:1", "digest": "a" * 64}], LACKS),
        (
            [{"name": "127.0.0.1:9/library/a:1", "digest": "b" * 64}],
            "digest is bbbbbbbbbbbb, the requested manifest",
        ),
    ],
)
def test_success_is_no_proof_without_the_model(module: Callable[..., Any], rows: list[Any], words: str) -> None:
    name = "127.0.0.1:9/library/a:1"
    locked = {name: {"digest": "sha256:" + "a" * 64, "blobs": {"sha256:" + "c" * 64: 100}}}
    answers = {**pulling('{"status":"success"}'), "/api/tags": {"models": rows}}
    with http_server(answers) as server:
        found = module(url=server.url, models=[name], locked=locked, retries=0)
    [row] = found["models"]
    assert found["failed"]
    assert words in row["error"], row
