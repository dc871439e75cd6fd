"""What a pull relies on: order of the status lines, success as the only proof, errors inside a 200, resume."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from subject import Answer, Starter, Subject, opened

from reaper_ops.lab import models
from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry

MANIFEST_FAULTS = {
    "err401": 'realm host "" does not match original host "{registry}"',
    "err401c": 'realm host "localhost:{port}" does not match original host "{registry}"',
    "err404": "file does not exist",
    "err412": "412: \n\nThe model you are attempting to pull requires a newer version of Ollama.\n\n"
    "Please download the latest version at:\n\n\thttps://ollama.com/download\n\n",
    "err429": '429: {{"errors":[{{"code":"TOOMANYREQUESTS","message":"rate limit exceeded"}}]}}',
    "err500": "500: internal error",
    "err503": "503: <html><head><title>503 Service Temporarily Unavailable</title></head></html>",
    "html": "invalid character '<' looking for beginning of value",
    "longmanifest": "unexpected EOF",
    "shortmanifest": "unexpected end of JSON input",
}
BLOB_FAULTS = {
    "blob404/fresh4": "file does not exist",
    "noloc/fresh5": "http: no Location header in response",
    "r302/fresh6": "unexpected status code 302",
}
BYTES_FAULTS = {
    "blob401": 'realm host "" does not match original host "{registry}"',
    "blob404": "file does not exist",
    "blob412": "412: ",
    "blob429": "429: ",
    "blob500": "500: ",
    "get500": "context deadline exceeded",
    "longhead": "max retries exceeded: EOF",
    "shorthead": "digest mismatch, file must be downloaded again: want {weights}, got sha256:",
    "longbody": "",
    "shortbody": "max retries exceeded: EOF",
    "trunc": "max retries exceeded: unexpected EOF",
    "cdn401": "max retries exceeded: EOF",
    "cdn404": "max retries exceeded: EOF",
    "cdn412": "max retries exceeded: EOF",
    "cdn429": "max retries exceeded: EOF",
    "cdn500": "max retries exceeded: EOF",
}
"""What a registry says or does wrong about bytes, and how a pull ends; a real server tries for a minute."""


def statuses(answer: Answer) -> list[str]:
    return [line.get("status", "error") for line in answer.lines()]


def test_a_pull_ends_in_success(server: Subject, absent: str) -> None:
    answer = server.pull(absent)
    assert (answer.status, answer.kind) == (200, "application/x-ndjson")
    found = statuses(answer)
    assert found[0] == "pulling manifest"
    assert found[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    assert all(word.startswith("pulling ") for word in found[:-3])


def test_progress_lines(server: Subject, absent: str, registry: LabRegistry) -> None:
    """From a slow registry, so that there are some: `completed` is absent while it is 0 and never falls."""
    slow = absent.replace("/library/", "/slow/")
    with opened(server.url, "POST", "/api/pull", {"model": slow, "insecure": True}) as response:
        lines: list[dict[str, Any]] = []
        while len(lines) < 12:
            lines.append(json.loads(response.readline()))
    progress = [line for line in lines if "digest" in line]
    assert len(progress) > 5
    assert all(line["status"] == f"pulling {line['digest'][7:19]}" for line in progress)
    assert len({line["total"] for line in progress}) == 1
    done = [line.get("completed", 0) for line in progress]
    assert done == sorted(done)
    assert all("completed" not in line or line["completed"] > 0 for line in progress)


def test_a_second_pull_asks_for_the_manifest_only(server: Subject, tiny: str, registry: LabRegistry) -> None:
    before = registry.sent[_weights(registry, "tiny")]
    answer = server.pull(tiny)
    layers = [line for line in answer.lines() if "digest" in line]
    assert len(layers) == 4
    assert all(line["completed"] == line["total"] for line in layers)
    assert registry.sent[_weights(registry, "tiny")] == before
    assert statuses(answer)[-1] == "success"


def test_without_a_stream_there_is_one_object(server: Subject, tiny: str) -> None:
    answer = server.pull(tiny, stream=False)
    assert (answer.status, answer.kind, answer.json()) == (200, "application/json", {"status": "success"})


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_errors_of_the_manifest(server: Subject, registry: LabRegistry, fault: str) -> None:
    port = registry.name.rpartition(":")[2]
    text = "pull model manifest: " + MANIFEST_FAULTS[fault].format(registry=registry.name, port=port)
    name = f"{registry.name}/{fault}/tiny:latest"
    streamed = server.pull(name)
    assert (streamed.status, streamed.lines()) == (200, [{"status": "pulling manifest"}, {"error": text}])
    whole = server.pull(name, stream=False)
    assert (whole.status, whole.kind, whole.json()) == (500, "application/json", {"error": text})


@pytest.mark.parametrize("fault", BLOB_FAULTS)
def test_errors_of_a_blob(server: Subject, registry: LabRegistry, fault: str) -> None:
    """Of models that are never begun: with part files on disk the server asks otherwise, and for 30 s."""
    answer = server.pull(f"{registry.name}/{fault}:latest")
    assert answer.status == 200
    assert answer.error() == BLOB_FAULTS[fault]


def test_errors_of_bytes(starter: Starter, registry: LabRegistry) -> None:
    """All at once, each with a model of its own: what is cut short goes on where it was, and nothing gets a name."""
    numbers = {fault: number for number, fault in enumerate(BYTES_FAULTS)}
    shapes = {f"library/bytes{n}:latest": gguf.Shape("bytes", seed=200 + n) for n in numbers.values()}
    models.publish(registry.root, shapes)
    started = starter.start(REAPER_OPS_LAB_PATIENCE="0.01")
    server = started.wait_ready()

    def pulled(fault: str) -> str:
        name = f"{registry.name}/{fault}/bytes{numbers[fault]}:latest"
        return str(server.ask("POST", "/api/pull", {"model": name, "insecure": True}, timeout=180).lines()[-1])

    with ThreadPoolExecutor(len(numbers)) as pool:
        found = dict(zip(numbers, pool.map(pulled, numbers), strict=True))
    for fault, text in BYTES_FAULTS.items():
        weights = _weights(registry, f"bytes{numbers[fault]}")
        wanted = str({"error": text.format(registry=registry.name, weights=weights)} if text else {"status": "success"})
        assert found[fault].startswith(wanted.rstrip("'\"}")), (fault, found[fault])
    listed = [row["name"] for row in server.ask("GET", "/api/tags").json()["models"]]
    assert listed == [f"{registry.name}/longbody/bytes{numbers['longbody']}:latest"]


def test_damaged_bytes_are_found_and_removed(server: Subject, registry: LabRegistry) -> None:
    """Of a model of its own: a download is shared by everybody who wants the digest, whatever the name."""
    name, want = f"{registry.name}/mismatch/fresh7:latest", _weights(registry, "fresh7")
    answer = server.pull(name)
    assert statuses(answer)[-1] == "error", answer.text
    assert answer.error().startswith(f"digest mismatch, file must be downloaded again: want {want}, got sha256:")
    assert server.ask("HEAD", f"/api/blobs/{want}").status == 404
    assert name not in server.ask("GET", "/api/tags").text


def test_a_registry_that_refuses(server: Subject) -> None:
    answer = server.pull("127.0.0.1:1/ns/tiny:1m")
    text = 'Get "http://127.0.0.1:1/v2/ns/tiny/manifests/1m": dial tcp 127.0.0.1:1: connect: connection refused'
    assert answer.error() == f"pull model manifest: {text}"


def test_insecure_is_asked_for_by_a_plain_http_registry(server: Subject, registry: LabRegistry) -> None:
    answer = server.ask("POST", "/api/pull", {"model": f"{registry.name}/library/tiny:latest"})
    assert answer.error().startswith(f'pull model manifest: Get "https://{registry.name}/v2/library/tiny/')


@pytest.mark.parametrize("name", ["", "bad/na me::x", "127.0.0.1:5000/tiny:1m"])
def test_invalid_names(server: Subject, name: str) -> None:
    answer = server.pull(name)
    assert (answer.status, answer.json()) == (400, {"error": "invalid model name"})


def test_a_hang_up_stops_and_the_next_pull_resumes(server: Subject, absent: str, registry: LabRegistry) -> None:
    slow, digest = absent.replace("/library/", "/slow/"), _weights(registry, "small")
    size, before = _size(registry, digest), registry.sent[digest]
    with opened(server.url, "POST", "/api/pull", {"model": slow, "insecure": True}) as response:
        for line in response:
            if json.loads(line).get("completed", 0) > 800_000:
                break
    stopped = _settled(registry, digest) - before
    assert 300_000 <= stopped < size
    assert statuses(server.pull(absent))[-1] == "success"
    assert registry.sent[digest] - before < size + 200_000


def _settled(registry: LabRegistry, digest: str) -> int:
    """Bytes sent once no more are."""
    last = -1
    while registry.sent[digest] != last:
        last = registry.sent[digest]
        time.sleep(0.5)
    return last


def test_two_pulls_of_one_model_share_the_download(server: Subject, absent: str, registry: LabRegistry) -> None:
    slow = absent.replace("/library/", "/slow/")
    digest = _weights(registry, "small")
    before = registry.sent[digest]
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(server.pull(slow))) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    server.ask("DELETE", "/api/delete", {"model": slow})
    assert [statuses(answer)[-1] for answer in answers] == ["success", "success"]
    assert 0 < registry.sent[digest] - before <= _size(registry, digest)


def _size(registry: LabRegistry, digest: str) -> int:
    return (registry.root / "blobs" / digest.replace(":", "-")).stat().st_size


def _weights(registry: LabRegistry, name: str) -> str:
    manifest = json.loads((registry.root / "manifests/library" / name / "latest").read_text())
    return str(manifest["layers"][0]["digest"])


def test_a_cut_body_is_tried_again(server: Subject, registry: LabRegistry) -> None:
    name = f"{registry.name}/trunc1/fresh0:latest"
    server.ask("DELETE", "/api/delete", {"model": name})
    registry.sent.clear()
    answer = server.pull(name)
    assert statuses(answer)[-1] == "success"
    server.ask("DELETE", "/api/delete", {"model": name})
