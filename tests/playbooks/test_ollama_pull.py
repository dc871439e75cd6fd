"""ollama_pull against a server and a registry that misbehave on demand; recorded streams are real ones."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reaper_ops import assets
from tests import modern_store

PLAYBOOKS = assets.collection()
BLOB = "a" * 64


def manifest_of(size: int) -> bytes:
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{BLOB}", "size": size}
    return json.dumps(
        {"schemaVersion": 2, "config": {**layer, "digest": "sha256:" + "b" * 64, "size": 2}, "layers": [layer]}
    ).encode()


def ok_stream(total: int = 100) -> list[dict[str, Any]]:
    name = {"status": f"pulling {BLOB[:12]}", "digest": f"sha256:{BLOB}", "total": total}
    steps = [{**name}, {**name, "completed": total // 2}, {**name, "completed": total}]
    ends = ("verifying sha256 digest", "writing manifest", "success")
    return [{"status": "pulling manifest"}, *steps, *({"status": status} for status in ends)]


@dataclass
class World:
    """One port plays Ollama and the registry. `streams` are the answers to the next pulls."""

    port: int = 0
    manifests: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    streams: list[Any] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    accepts: list[str | None] = field(default_factory=list)
    served_digest: str = ""
    pause: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def name(self, model: str, size: int = 100) -> str:
        path, _, tag = model.partition(":")
        self.manifests[f"/v2/ok/{path}/manifests/{tag}"] = manifest_of(size)
        return f"127.0.0.1:{self.port}/ok/{model}"

    def digest(self, name: str) -> str:
        path, _, tag = name.rpartition(":")
        _, namespace, model = path.split("/")
        data = self.manifests.get(f"/v2/{namespace}/{model}/manifests/{tag}", b"")
        return self.served_digest or hashlib.sha256(data).hexdigest()

    def args(self, *models: str, **more: Any) -> dict[str, Any]:
        given = {"models": list(models), "url": self.url, "insecure_registries": [f"127.0.0.1:{self.port}"]}
        return {**given, "min_free": 0, "retries": 1, **more}


@pytest.fixture
def world() -> Iterator[World]:
    state = World()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if self.path == "/api/tags":
                rows = [{"name": name, "digest": digest} for name, digest in state.tags.items()]
                self.answer(200, json.dumps({"models": rows or None}).encode())
                return
            state.accepts.append(self.headers.get("Accept"))
            data = state.manifests.get(self.path)
            self.answer(200 if data else 404, data or b"{}")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.pulls.append(asked)
            lines = state.streams.pop(0) if state.streams else ok_stream()
            if isinstance(lines, int):
                self.answer(lines, b'{"error":"server says no"}')
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for line in lines:
                    if line == {"status": "success"}:
                        state.tags[asked["model"]] = state.digest(asked["model"])
                    self.chunk(line if isinstance(line, str) else json.dumps(line))
                    time.sleep(state.pause)
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True

        def chunk(self, text: str) -> None:
            data = text.encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    state.port = httpd.server_port
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_pulls_what_is_missing_and_proves_the_digest(module: Any, world: World, tmp_path: Path) -> None:
    one, two = world.name("tiny:1m"), world.name("mid:7b")
    world.tags[one] = "f" * 64
    done = module.predicted(**world.args(one, two, models_dir=str(tmp_path / "models")))
    rows = {row["name"]: row for row in done["models"]}
    assert [row["name"] for row in done["models"]] == [one, two]
    assert not rows[one]["changed"]
    assert rows[two]["changed"]
    assert rows[two]["digest"] == world.digest(two)
    assert rows[two]["bytes"] == 102
    assert rows[two]["attempts"] == 1
    assert world.pulls == [{"model": two, "insecure": True, "stream": True}]
    assert world.accepts == ["application/vnd.docker.distribution.manifest.v2+json"]


def test_a_listed_model_is_asked_for_again_only_when_told(module: Any, world: World) -> None:
    """A server lists a model whose blobs are gone."""
    name = world.name("tiny:1b")
    world.streams = [ok_stream(), ok_stream()]
    module(**world.args(name))
    assert not module(**world.args(name))["changed"]
    assert module(**world.args(name, again=True))["changed"]
    assert len(world.pulls) == 2


def test_names_are_compared_as_ollama_does(module: Any, world: World) -> None:
    world.tags = {"Llama3:8b": "1" * 64, "registry.ollama.ai/library/mistral:latest": "2" * 64}
    done = module(**world.args("llama3:8b", "mistral"))
    assert not done["changed"]
    assert [row["digest"][0] for row in done["models"]] == ["1", "2"]


def test_error_inside_the_stream_is_tried_again(module: Any, world: World) -> None:
    name = world.name("tiny:1m")
    world.streams = [[{"status": "pulling manifest"}, {"error": "max retries exceeded: EOF"}]]
    done = module(**world.args(name))
    assert done["models"][0]["attempts"] == 2
    assert done["changed"]


LASTING = {
    "pull model manifest: file does not exist": "check the name",
    "write /m/blobs/sha256-x-partial: no space left on device": "free space",
    "open /m/blobs/x: permission denied": "write access to the model store",
    "pull model manifest: 412: requires a newer version of Ollama": "raise ollama_version",
    'pull model manifest: realm host "" does not match original host "x"': "credentials",
    'pull model manifest: Get "https://r/v2/": tls: failed to verify certificate: x509: unknown': "trust store",
    'pull model manifest: Get "https://127.0.0.1:31900/v2/ok/tiny/manifests/1m": EOF': "ollama_insecure_registries",
}


@pytest.mark.parametrize("text", LASTING)
def test_lasting_error_is_not_tried_again_and_names_the_next_step(module: Any, world: World, text: str) -> None:
    world.streams = [[{"status": "pulling manifest"}, {"error": text}]]
    answer = module(**world.args(world.name("tiny:1m")))
    assert answer["failed"]
    assert answer["models"][0]["attempts"] == 1
    assert text in answer["msg"]
    assert LASTING[text] in answer["models"][0]["next_step"]


@pytest.mark.parametrize("stream", [500, ok_stream()[:-1], [], ["not json"], ["[1]"]])
def test_anything_but_success_is_a_failure(module: Any, world: World, stream: Any) -> None:
    name = world.name("tiny:1m")
    world.streams = [stream, stream]
    answer = module(**world.args(name))
    assert answer["failed"]
    assert answer["models"][0]["attempts"] == 2
    assert answer["models"][0]["error"]
    assert not answer["changed"]


def test_one_failed_model_does_not_stop_the_others(module: Any, world: World) -> None:
    bad, good = f"127.0.0.1:{world.port}/ok/nosuch:1b", world.name("tiny:1m")
    answer = module(**world.args(bad, good, retries=0))
    assert answer["failed"]
    assert answer["changed"]
    assert "1 of 2 models failed" in answer["msg"]
    assert "no such model or tag" in answer["msg"]
    assert [row["changed"] for row in answer["models"]] == [False, True]
    assert len(world.pulls) == 1


def test_how_each_pull_ended_is_kept_for_a_diagnosis(module: Any, world: World, tmp_path: Path) -> None:
    bad, good = f"127.0.0.1:{world.port}/ok/nosuch:1b", world.name("tiny:1m")
    record = tmp_path / "pulls.json"
    record.write_text(json.dumps({"old:1b": {"error": "", "time": 1}, good: {"error": "EOF", "time": 1}}))
    module(**world.args(bad, good, retries=0, record=str(record)))
    kept = json.loads(record.read_text())
    assert kept["old:1b"] == {"error": "", "time": 1}
    assert kept[good]["error"] == ""
    assert "no such model or tag" in kept[bad]["error"]
    assert record.stat().st_mode & 0o777 == 0o600


def test_a_pull_succeeds_where_its_end_cannot_be_kept(module: Any, world: World, tmp_path: Path) -> None:
    record = tmp_path / "pulls.json"
    record.mkdir()
    done = module(**world.args(world.name("tiny:1m"), record=str(record)))
    assert done["models"][0]["error"] == ""
    assert any("cannot be written" in note for note in done["models"][0]["notes"])


def test_a_model_that_its_server_has_rewritten_is_not_pulled_again(module: Any, world: World, tmp_path: Path) -> None:
    made = modern_store.migrated(tmp_path)
    world.tags = {"tiny:latest": made.listed.removeprefix("sha256:")}
    args = world.args("tiny", models_dir=str(tmp_path), locked={"tiny": {"digest": made.published, "blobs": {}}})
    for answer in (module(**args, check=True), module(**args)):
        assert (answer["changed"], answer["models"][0]["error"]) == (False, "")
    assert world.pulls == []
    other = {"tiny": {"digest": "sha256:" + "9" * 64, "blobs": {}}}
    assert module(**{**args, "locked": other}, check=True)["changed"]


def test_a_list_that_holds_what_was_asked_for_is_proof(module: Any, world: World, tmp_path: Path) -> None:
    """A server from 0.40 on lists the digest of the list; the registry gave us, and the lock, one of its manifests."""
    name = world.name("tiny:1m")
    world.manifests["/v2/ok/tiny/manifests/1m"] = data = modern_store.manifest(tmp_path, "weights")
    sent = modern_store.listing((modern_store.blob(tmp_path, data), "llamacpp"))
    modern_store.linked(tmp_path, sent, f"{world.url[7:]}/ok/tiny/1m".replace(":", "%3A"))
    world.served_digest = hashlib.sha256(sent).hexdigest()
    done = module(**world.args(name, models_dir=str(tmp_path)))
    assert (done["models"][0]["error"], done["models"][0]["digest"]) == ("", world.served_digest)
    world.served_digest, world.tags = "7" * 64, {}
    assert "the digest is 777777777777" in module(**world.args(name, models_dir=str(tmp_path)))["msg"]


def test_space_is_checked_before_the_first_byte(module: Any, world: World, tmp_path: Path) -> None:
    store = tmp_path / "not" / "yet"
    answer = module(**world.args(world.name("huge:1t", 10**15), models_dir=str(store)))
    assert answer["failed"]
    assert "has only" in answer["msg"]
    assert "ollama_models_dir" in answer["msg"]
    assert world.pulls == []


def test_blobs_on_disk_and_partial_blocks_are_not_counted_again(module: Any, world: World, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    partial = blobs / f"sha256-{BLOB}-partial"
    with partial.open("wb") as file:
        file.truncate(1 << 20)
        file.write(b"x" * 65536)
        file.flush()
        os.fsync(file.fileno())
    (blobs / ("sha256-" + "b" * 64)).write_bytes(b"xx")
    done = module(**world.args(world.name("tiny:1m", 1 << 20), models_dir=str(tmp_path)))
    have = partial.stat().st_blocks * 512
    assert 65536 <= have < 1 << 20
    assert done["models"][0]["bytes"] == (1 << 20) - have


def test_registry_that_cannot_be_asked_is_a_note(module: Any, world: World) -> None:
    answer = module(**world.args("127.0.0.1:1/ok/tiny:1m"))
    row = answer["models"][0]
    assert row["changed"]
    assert "does not answer" in row["notes"][0]
    assert "digest not compared" in row["notes"][1]


def test_wrong_digest_after_the_pull_is_an_error(module: Any, world: World) -> None:
    world.served_digest = "e" * 64
    answer = module(**world.args(world.name("tiny:1m")))
    assert answer["failed"]
    assert "digest is eeeeeeeeeeee" in answer["msg"]


def test_repeated_progress_is_a_stall(module: Any, world: World) -> None:
    name = world.name("tiny:1m")
    world.streams = [ok_stream()[:2] + [ok_stream()[2]] * 200, ok_stream()]
    world.pause = 0.05
    done = module(**world.args(name, stall_timeout=1))
    assert done["models"][0]["attempts"] == 2
    assert done["changed"]


def test_silence_is_a_stall_but_hashing_may_be_silent(module: Any, world: World) -> None:
    name = world.name("tiny:1m")
    world.pause = 1.5
    world.streams = [[{"status": "verifying sha256 digest"}, {"status": "writing manifest"}, {"status": "success"}]]
    assert module(**world.args(name, stall_timeout=1, retries=0))["changed"]
    world.tags.clear()
    world.streams = [ok_stream()]
    answer = module(**world.args(name, stall_timeout=1, retries=0))
    assert answer["failed"]
    assert "stalled" in answer["msg"]


def test_server_that_is_not_there(module: Any) -> None:
    args = {"models": ["llama3:8b"], "url": "http://127.0.0.1:1"}
    assert module(check=True, **args)["changed"]
    assert "cannot be reached" in module.fails(**args)


def test_progress_snapshots_are_whole_and_removed_at_the_end(module: Any, world: World, tmp_path: Path) -> None:
    snapshot = tmp_path / "progress"
    world.pause = 0.3
    started = module.start(**world.args(world.name("tiny:1m"), progress_file=str(snapshot), models_dir=str(tmp_path)))
    seen = []
    while started.process.poll() is None:
        if snapshot.exists():
            try:
                seen.append(json.loads(snapshot.read_text()))
            except FileNotFoundError:
                break
        time.sleep(0.02)
    assert started.end()["changed"]
    assert not snapshot.exists()
    layers = [row for row in seen if row["layer"]]
    assert {"model", "layer", "completed", "total", "status", "t"} <= set(layers[0])
    assert {row["model_total"] for row in layers} == {102}
    assert [row["completed"] for row in layers] == sorted(row["completed"] for row in layers)


def test_pull_ends_when_nobody_watches(module: Any, world: World, tmp_path: Path) -> None:
    heartbeat = tmp_path / "watched"
    heartbeat.touch()
    os.utime(heartbeat, (1, 1))
    said = module.fails(**world.args(world.name("tiny:1m"), heartbeat=str(heartbeat)))
    assert "controller is gone" in said
    os.utime(heartbeat, (time.time() - 60,) * 2)
    assert "controller is gone" in module.fails(
        **world.args(world.name("tiny:1m"), heartbeat=str(heartbeat), abandoned=15)
    )
    assert module(**world.args(world.name("tiny:1m"), heartbeat=str(heartbeat)))["changed"]


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - reaper_ops.ollama.ollama_pull: {args}
      register: pulled
    - copy: {{content: "{{{{ pulled | to_json }}}}", dest: {out}}}
      check_mode: false
"""


def play(tmp_path: Path, args: dict[str, Any], *options: str, **env: str) -> tuple[str, dict[str, Any]]:
    out = tmp_path / "result.json"
    book = tmp_path / "play.yml"
    book.write_text(PLAY.format(args=json.dumps(args), out=json.dumps(str(out))))
    paths = {
        "ANSIBLE_COLLECTIONS_PATH": assets.collections(),
        "ANSIBLE_ASYNC_DIR": tmp_path / "async",
        "ANSIBLE_LOCAL_TEMP": tmp_path / "local",
        "ANSIBLE_REMOTE_TEMP": tmp_path / "remote",
    }
    inventory = f"gpu1 ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    (tmp_path / "hosts").write_text(inventory)
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts"), str(book), *options]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **{k: str(v) for k, v in paths.items()}, **env},
    )
    assert out.exists(), done.stdout + done.stderr
    return done.stdout, json.loads(out.read_text())


def test_action_plugin_shows_progress_live(world: World, tmp_path: Path) -> None:
    world.pause = 1.2
    args = world.args(world.name("mid:7b", 5 * 10**9), progress_file=str(tmp_path / "progress"))
    world.streams = [ok_stream(5 * 10**9)]
    stdout, result = play(tmp_path, args, REAPER_OPS_EVENTS="1")
    events = [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]
    assert {event["host"] for event in events} == {"gpu1"}
    assert {event["event"] for event in events} == {"progress"}
    assert {2500000000, 5000000000} & {event["completed"] for event in events}
    assert max(event["model_completed"] for event in events) == events[0]["model_total"] == 5000000002
    assert result["changed"]
    assert result["models"][0]["digest"] == world.digest(args["models"][0])
    assert "results_file" not in result
    assert not list(tmp_path.glob("async/*"))
    assert not (tmp_path / "progress").exists()
    stdout, result = play(tmp_path, args)
    assert not result["changed"]


def test_action_plugin_in_plain_words_and_with_failure(world: World, tmp_path: Path) -> None:
    world.pause = 1.2
    world.streams = [[*ok_stream(10**9)[:3], {"error": "no space left on device"}]]
    bad = world.args(world.name("mid:7b", 10**9))
    book = play(tmp_path, bad, "--check")[1]
    assert book["changed"]
    assert world.pulls == []
    (tmp_path / "result.json").unlink()
    with pytest.raises(AssertionError, match="free space in the model store"):
        play(tmp_path, bad)
    world.streams = [ok_stream(10**9)]
    stdout, _ = play(tmp_path, bad)
    assert "gpu1: " + bad["models"][0] in stdout
    assert "0 % of 1.0 GB, " in stdout
