"""What distribution relies on: digests, copies, blobs by content, deletes that keep what is shared."""

from __future__ import annotations

import hashlib

import pytest
from subject import Subject

from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry

BLOB = b"hello blob"
DIGEST = "sha256:" + hashlib.sha256(BLOB).hexdigest()
ZERO = "sha256:" + "0" * 64
REFUSED = {
    "copy without source": (
        "POST",
        "/api/copy",
        {"source": "nosuch", "destination": "b"},
        404,
        'model "nosuch" not found',
    ),
    "copy bad source": ("POST", "/api/copy", {"source": "a b", "destination": "b"}, 400, 'source "a b" is invalid'),
    "copy empty": ("POST", "/api/copy", {}, 400, 'source "" is invalid'),
    "delete unknown": ("DELETE", "/api/delete", {"model": "nosuch:7b"}, 404, "model 'nosuch:7b' not found"),
    "delete empty body": ("DELETE", "/api/delete", None, 400, "missing request body"),
    "show unknown": ("POST", "/api/show", {"model": "nosuch:7b"}, 404, "model 'nosuch:7b' not found"),
    "show nothing": ("POST", "/api/show", {}, 400, "model is required"),
    "create nameless": ("POST", "/api/create", {}, 400, "invalid model name"),
    "cut JSON": ("POST", "/api/show", '{"model": "x", ', 400, "unexpected EOF"),
    "no JSON": ("POST", "/api/show", "hello", 400, "invalid character 'h' looking for beginning of value"),
}


def digest_of(server: Subject, name: str) -> str | None:
    rows = server.ask("GET", "/api/tags").json()["models"]
    return next((row["digest"] for row in rows if row["name"] == name), None)


def test_digest_is_that_of_the_manifest(server: Subject, tiny: str, registry: LabRegistry) -> None:
    data = (registry.root / "manifests/library/tiny/latest").read_bytes()
    assert digest_of(server, tiny) == hashlib.sha256(data).hexdigest()


def test_a_copy_has_the_same_digest_and_survives_the_original(server: Subject, registry: LabRegistry) -> None:
    name, alias = f"{registry.name}/library/fresh1:latest", "contract-copy:latest"
    server.pull(name)
    answer = server.ask("POST", "/api/copy", {"source": name, "destination": "contract-copy"})
    assert (answer.status, answer.text) == (200, "")
    assert digest_of(server, alias) == digest_of(server, name)
    assert server.ask("DELETE", "/api/delete", {"model": name}).status == 200
    assert digest_of(server, name) is None
    assert server.ask("POST", "/api/show", {"model": "contract-copy"}).status == 200
    assert server.ask("DELETE", "/api/delete", {"model": alias}).status == 200


def test_show(server: Subject, tiny: str) -> None:
    found = server.ask("POST", "/api/show", {"model": tiny}).json()
    assert found["capabilities"] == ["completion"]
    assert found["model_info"]["llama.context_length"] == 2048
    assert found["model_info"]["general.parameter_count"] == 139584
    assert found["parameters"].split() == ["stop", '"<s>"']
    assert found["template"].startswith("{{ if .System }}")
    assert {"modelfile", "details", "modified_at"} <= set(found)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused(server: Subject, case: tuple[str, str, object, int, str]) -> None:
    method, path, body, status, text = case
    answer = server.ask(method, path, body)
    assert (answer.status, answer.json()) == (status, {"error": text})


def test_blobs(server: Subject) -> None:
    first = server.ask("POST", f"/api/blobs/{DIGEST}", BLOB)
    assert first.status in (200, 201)
    assert server.ask("POST", f"/api/blobs/{DIGEST}", BLOB).status == 200
    assert server.ask("HEAD", f"/api/blobs/{DIGEST}").status == 200
    assert server.ask("HEAD", f"/api/blobs/{ZERO}").status == 404
    assert server.ask("HEAD", "/api/blobs/sha256:xyz").status == 400
    wrong = server.ask("POST", f"/api/blobs/{ZERO}", BLOB)
    assert (wrong.status, wrong.json()) == (400, {"error": f'digest mismatch, expected "{ZERO}", got "{DIGEST}"'})
    assert server.ask("POST", "/api/blobs/sha256:xyz", BLOB).json() == {"error": "invalid digest format"}


def test_create_from_a_model(server: Subject, tiny: str) -> None:
    request = {"model": "contract-brief", "from": tiny, "system": "You are brief.", "parameters": {"num_ctx": 1024}}
    answer = server.ask("POST", "/api/create", request)
    found = [line["status"] for line in answer.lines()]
    assert found[0].startswith("using existing layer sha256:")
    assert found[-2:] == ["writing manifest", "success"]
    shown = server.ask("POST", "/api/show", {"model": "contract-brief"}).json()
    assert shown["system"] == "You are brief."
    assert "num_ctx" in shown["parameters"]
    assert server.ask("DELETE", "/api/delete", {"model": "contract-brief"}).status == 200


def test_create_from_a_blob(server: Subject) -> None:
    data = gguf.build(gguf.Shape("made", seed=99))
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    assert server.ask("POST", f"/api/blobs/{digest}", data).status in (200, 201)
    answer = server.ask("POST", "/api/create", {"model": "contract-made", "files": {"made.gguf": digest}})
    if "llama-quantize unavailable" in answer.text:
        pytest.skip("this real server has no llama-quantize beside it")
    assert answer.lines()[0] == {"status": "parsing GGUF"}
    assert answer.lines()[-1] == {"status": "success"}
    assert server.ask("DELETE", "/api/delete", {"model": "contract-made"}).status == 200


def test_create_says_what_is_wrong_inside_a_200(server: Subject) -> None:
    server.ask("POST", f"/api/blobs/{DIGEST}", BLOB)
    answer = server.ask("POST", "/api/create", {"model": "contract-bad", "files": {"x.gguf": DIGEST}})
    assert (answer.status, answer.error()) == (200, "supplied file was not in GGUF format")
    missing = server.ask("POST", "/api/create", {"model": "contract-bad", "files": {"x.gguf": ZERO}})
    assert missing.error().endswith(f"/blobs/{ZERO.replace(':', '-')}: no such file or directory")
