"""What a probe relies on: the open endpoints, the shape of their answers, and what a wrong question gets."""

from __future__ import annotations

import pytest
from subject import Subject

JSON = "application/json; charset=utf-8"
PLAIN = {
    "unknown path": ("GET", "/api/nosuch", 404, "404 page not found"),
    "health": ("GET", "/health", 404, "404 page not found"),
    "metrics": ("GET", "/metrics", 404, "404 page not found"),
    "wrong method": ("GET", "/api/generate", 405, "405 method not allowed"),
    "post to version": ("POST", "/api/version", 405, "405 method not allowed"),
    "post to root": ("POST", "/", 405, "405 method not allowed"),
    "options without origin": ("OPTIONS", "/api/tags", 405, "405 method not allowed"),
}
HOSTS = {
    "evil.example": 403,
    "203.0.113.9": 403,
    "192.168.1.5:11434": 200,
    "host.docker.internal:11434": 200,
    "gpu1.internal": 200,
    "localhost": 200,
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_root_says_that_it_runs(server: Subject, method: str) -> None:
    answer = server.ask(method, "/")
    assert (answer.status, answer.kind) == (200, "text/plain; charset=utf-8")
    assert answer.text == ("Ollama is running" if method == "GET" else "")
    assert answer.headers["content-length"] == "17"


def test_version_is_one_word(server: Subject) -> None:
    answer = server.ask("GET", "/api/version")
    assert (answer.status, answer.kind) == (200, JSON)
    assert list(answer.json()) == ["version"]
    assert isinstance(answer.json()["version"], str)


def test_status_names_the_cloud_switch(server: Subject) -> None:
    assert set(server.ask("GET", "/api/status").json()["cloud"]) == {"disabled", "source"}


def test_tags_row(server: Subject, tiny: str) -> None:
    answer = server.ask("GET", "/api/tags")
    row = next(row for row in answer.json()["models"] if row["name"] == tiny)
    assert answer.kind == JSON
    assert row["model"] == tiny
    assert len(row["digest"]) == 64
    assert row["size"] > 500_000
    assert row["modified_at"][:2] == "20"
    assert row["details"]["format"] == "gguf"
    assert row["details"]["family"] == "llama"
    assert row["details"]["quantization_level"] == "F32"


def test_ps_is_a_list(server: Subject) -> None:
    answer = server.ask("GET", "/api/ps")
    assert (answer.status, answer.kind) == (200, JSON)
    assert isinstance(answer.json()["models"], list)


@pytest.mark.parametrize("case", PLAIN.values(), ids=PLAIN)
def test_wrong_question(server: Subject, case: tuple[str, str, int, str]) -> None:
    method, path, status, text = case
    answer = server.ask(method, path)
    assert (answer.status, answer.kind, answer.text) == (status, "text/plain", text)


@pytest.mark.parametrize("path", ["/api/tags/", "//api/tags"])
def test_a_slash_too_many_redirects(server: Subject, path: str) -> None:
    """301, and 307 for a doubled slash where the server was built by a newer Go."""
    answer = server.ask("GET", path)
    assert answer.status == 301 or (answer.status == 307 and path.startswith("//"))
    assert answer.headers["location"] == "/api/tags"
    assert answer.kind == "text/html; charset=utf-8"


@pytest.mark.parametrize("host", HOSTS)
def test_a_foreign_host_is_refused_without_a_word(server: Subject, host: str) -> None:
    answer = server.ask("GET", "/api/version", headers={"Host": host})
    assert answer.status == HOSTS[host]
    if answer.status == 403:
        assert (answer.text, answer.kind) == ("", None)


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("http://localhost:3000", 200)])
def test_origin(server: Subject, origin: str, status: int) -> None:
    assert server.ask("GET", "/api/version", headers={"Origin": origin}).status == status


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("http://localhost:3000", 204)])
def test_preflight(server: Subject, origin: str, status: int) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert server.ask("OPTIONS", "/api/generate", headers=headers).status == status


def test_openai_list(server: Subject, tiny: str) -> None:
    answer = server.ask("GET", "/v1/models")
    assert answer.kind == "application/json"
    assert tiny in [row["id"] for row in answer.json()["data"]]
