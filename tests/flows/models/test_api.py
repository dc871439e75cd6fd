"""Pulls by the API of servers that misbehave: each trouble has its words, and stops no other host."""

from __future__ import annotations

import json
import time

import pytest
from servers import free_port, http_server

from reaper_ops.adapters import pull_loop as talks
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import lease as claim
from reaper_ops.flows.models import api as models_api
from reaper_ops.flows.models.api import Order

DIGEST, BLOB = "d" * 64, "sha256:" + "a" * 64
PROGRESS = [{"status": "pulling aaaa", "digest": BLOB, "total": 100, "completed": count} for count in (10, 50, 100)]
WELL = [{"status": "pulling manifest"}, *PROGRESS, {"status": "verifying sha256 digest"}, {"status": "success"}]


class Ollama:
    """Plays one script for each pull; a number in it is a pause in seconds, after which nothing more comes."""

    def __init__(self, *scripts):
        self.digest = DIGEST
        self.scripts, self.models, self.asked = list(scripts), {}, []
        self.answers = dict.fromkeys(("/api/tags", "/api/pull", "/api/create", "/api/delete", "/api/copy"), self)

    def __call__(self, handler):
        body = json.loads(handler.server.seen[-1][2] or b"{}")
        self.asked.append((handler.path, body))
        if handler.path == "/api/pull":
            self.pull(handler, body["model"])
            return
        if handler.path == "/api/create":
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self.models[body["model"]] = {"modified_at": stamp, "remote_model": body["from"]}
        elif handler.path == "/api/delete":
            self.models.pop(body["model"], None)
        rows = [{"name": name, **row} for name, row in self.models.items()]
        self.send(handler, json.dumps({"models": rows}).encode())

    def send(self, handler, data):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))

    def pull(self, handler, name):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for line in self.scripts.pop(0) if self.scripts else WELL:
            if isinstance(line, float):
                time.sleep(line)
                continue
            if line.get("status") == "success":
                self.models[name] = {"digest": self.digest}
            handler.wfile.write(json.dumps(line).encode() + b"\n")
            handler.wfile.flush()


@pytest.fixture
def registry():
    return f"127.0.0.1:{free_port()}"


def deliver(tmp_path, registry, servers, **options):
    name = f"{registry}/library/m:1"
    events = []
    wanted = {
        at: Host(at, Settings(ollama_base_url=server.url, ollama_insecure_registries=[registry]), "local")
        for at, server in servers.items()
    }
    locked = {name: {"digest": f"sha256:{DIGEST}", "blobs": {BLOB: 100}}}
    given = {f"reaper_{key}": value for key, value in {"retries": 1, "stall_timeout": 75, **options}.items()}
    order = Order({host: [name] for host in wanted}, locked, True, given, "me@here")
    done, problems = models_api.pull(
        list(wanted.values()), order, record=tmp_path / "record.json", at_once=9, on_event=events.append
    )
    return {row.host: row for row in done}, problems, events


def test_an_error_inside_a_200_of_the_lasting_kind_is_not_tried_again(tmp_path, registry):
    bad = Ollama([{"status": "pulling manifest"}, {"error": "write /m/x: no space left on device"}])
    well = Ollama()
    with http_server(bad.answers) as one, http_server(well.answers) as two:
        done, problems, events = deliver(tmp_path, registry, {"one": one, "two": two}, retries=4)
    assert problems == {}
    assert done["one"].error == "write /m/x: no space left on device"
    assert (done["one"].attempts, done["one"].next_step) == (
        1,
        "free space in the model store, or set ollama_models_dir",
    )
    assert (done["two"].error, done["two"].changed, done["two"].digest) == ("", True, DIGEST)
    assert [event["event"] for event in events if event["host"] == "one"][-1] == "failed"
    assert not bad.models
    assert list(well.models) == [f"{registry}/library/m:1"]


def test_what_only_a_look_at_the_disk_can_mend_is_said(tmp_path, registry):
    with http_server(Ollama([{"error": "unexpected EOF"}]).answers) as server:
        done, _, _ = deliver(tmp_path, registry, {"one": server}, retries=4)
    assert done["one"].attempts == 1
    assert "--via host" in done["one"].next_step


def test_a_server_that_ends_its_answer_is_asked_again_and_bytes_are_told(tmp_path, registry):
    ollama = Ollama(WELL[:3])
    with http_server(ollama.answers) as server:
        done, _, events = deliver(tmp_path, registry, {"one": server})
    assert (done["one"].attempts, done["one"].error) == (2, "")
    assert done["one"].bytes == 90
    waiting = [event["status"] for event in events if str(event.get("status")).startswith("waiting")]
    [said] = waiting
    assert said.startswith("waiting 2 s after: the server ended its answer without success")


def test_a_record_that_cannot_be_kept_undoes_no_pull(tmp_path, registry):
    """As beside an inventory in /etc, which only root may write."""
    (tmp_path / "record.json").mkdir()
    with http_server(Ollama().answers) as server:
        done, problems, _ = deliver(tmp_path, registry, {"one": server})
    assert (done["one"].changed, done["one"].error, problems) == (True, "", {})
    [note] = [note for note in done["one"].notes if "record.json" in note]
    assert "`prune` will not know what was pulled" in note


def test_silence_is_noticed(tmp_path, registry):
    ollama = Ollama([WELL[0], WELL[1], 4.0])
    with http_server(ollama.answers) as server:
        done, _, _ = deliver(tmp_path, registry, {"one": server}, retries=0, stall_timeout=1)
    assert done["one"].error == "stalled: no new byte for 1 s (pulling aaaa)"
    assert not ollama.models


def test_another_digest_than_that_of_the_lock_is_told(tmp_path, registry):
    ollama = Ollama()
    ollama.digest = "e" * 64
    with http_server(ollama.answers) as server:
        done, _, _ = deliver(tmp_path, registry, {"one": server})
    assert done["one"].error == f"digest is {'e' * 12}, the manifest that was asked for has {'d' * 12}"


def test_the_lock_is_renewed_while_a_pull_runs_and_taken_back_before_the_end(tmp_path, registry, monkeypatch):
    monkeypatch.setattr(talks, "RENEWAL", 0.2)
    ollama = Ollama([WELL[0], 1.0, *WELL[1:]])
    with http_server(ollama.answers) as server:
        done, _, _ = deliver(tmp_path, registry, {"one": server})
    assert done["one"].error == ""
    made = [body for path, body in ollama.asked if path == "/api/create"]
    assert len(made) >= 3
    assert {body["model"].partition(".")[0] for body in made} == {f"{claim.FAMILY}:me-here"}
    assert {body["from"].rpartition("/")[0] for body in made} == {"127.0.0.1:9/reaper-ops"}
    asked = [body["from"].removeprefix("127.0.0.1:9/reaper-ops/") for body in made]
    assert asked[0].startswith("new-"), "no registry of anybody is asked by a server that knows no remote models"
    assert all(one.partition("-")[0].isdigit() for one in asked[1:])
    assert ollama.asked[-1][0] == "/api/delete"
    assert not any(claim.is_claim(name) for name in ollama.models)
