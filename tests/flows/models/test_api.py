"""Pulls by the API of servers that misbehave: each trouble has its words, and stops no other host."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import ExitStack

import pytest
from servers import free_port, http_server

from reaper_ops.adapters import pull_lock
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models.order import Order
from reaper_ops.core.models.strategy import DIRECT
from reaper_ops.flows.models import api as models_api

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


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def registry():
    return f"127.0.0.1:{free_port()}"


def deliver(tmp_path, registry, servers, watch=None, **options):
    name = f"{registry}/library/m:1"
    events = []
    wanted = {
        at: Host(at, Settings(ollama_base_url=server.url, ollama_insecure_registries=[registry]), "local")
        for at, server in servers.items()
    }
    locked = {name: {"digest": f"sha256:{DIGEST}", "blobs": {BLOB: 100}}}
    given = {
        f"reaper_{key}": value for key, value in {"at_once": 9, "retries": 1, "stall_timeout": 75, **options}.items()
    }
    order = Order({host: [name] for host in wanted}, locked, DIRECT, given, "me@here")
    done, problems = models_api.pull(
        list(wanted.values()), order, record=tmp_path / "record.json", on_event=watch or events.append
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
    assert said.startswith("waiting 2 s after: the answer ended without success")


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
    assert done["one"].error == "stalled: no new bytes for 1 s (pulling aaaa)"
    assert not ollama.models


def test_another_digest_than_that_of_the_lock_is_told(tmp_path, registry):
    ollama = Ollama()
    ollama.digest = "e" * 64
    with http_server(ollama.answers) as server:
        done, _, _ = deliver(tmp_path, registry, {"one": server})
    assert done["one"].error == f"the digest is {'e' * 12}, the requested manifest has {'d' * 12}"


def test_a_pull_leaves_nothing_in_the_list_and_asks_for_nothing_but_the_model(tmp_path, registry):
    ollama = Ollama()
    with http_server(ollama.answers) as server:
        done, _, _ = deliver(tmp_path, registry, {"one": server})
    assert done["one"].error == ""
    assert [path for path, _ in ollama.asked] == ["/api/tags", "/api/pull", "/api/tags"]
    assert list(ollama.models) == [f"{registry}/library/m:1"]


def test_what_an_earlier_version_left_in_the_list_is_taken_away(tmp_path, registry):
    ollama = Ollama()
    ollama.models = {"reaper-ops/lock:ann-elsewhere.77-ab": {"digest": "c" * 64}, "mine:1": {"digest": "b" * 64}}
    with http_server(ollama.answers) as server:
        done, problems, _ = deliver(tmp_path, registry, {"one": server})
    assert (done["one"].error, problems) == ("", {})
    assert sorted(ollama.models) == sorted([f"{registry}/library/m:1", "mine:1"])


def test_a_second_run_on_this_machine_is_kept_away_and_told_who_holds_the_host(tmp_path, registry):
    ollama = Ollama()
    with http_server(ollama.answers) as server, pull_lock.held(server.url, "ann@here"):
        done, problems, _ = deliver(tmp_path, registry, {"one": server})
    assert done == {}
    said = "another pull from this machine runs on this host, by ann@here for"
    assert said in problems["one"]
    assert f"(process {os.getpid()}); wait for its end, or stop it" in problems["one"]
    assert ollama.asked == []


def test_without_a_place_for_the_lock_hosts_are_pulled_to_all_the_same(tmp_path, registry, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with http_server(Ollama().answers) as server:
        done, problems, _ = deliver(tmp_path, registry, {"one": server})
    assert (done["one"].error, problems) == ("", {})


def test_hosts_pull_at_once_and_who_watches_is_told_by_one_at_a_time(tmp_path, registry):
    meet, busy = threading.Barrier(4), []

    class Together(Ollama):
        def pull(self, handler, name):
            meet.wait(20)
            super().pull(handler, name)

    def watch(event):
        busy.append(event)
        assert len(busy) == 1
        time.sleep(0.01)
        busy.pop()

    with ExitStack() as stack:
        servers = {f"h{at}": stack.enter_context(http_server(Together().answers)) for at in range(4)}
        done, problems, _ = deliver(tmp_path, registry, servers, watch=watch)
    assert problems == {}
    assert {row.error for row in done.values()} == {""}
    assert meet.n_waiting == 0


def test_a_defect_in_the_work_of_one_host_is_its_own(tmp_path, registry, monkeypatch):
    real = models_api.HostPull._look

    def broken(self, step):
        return real(self, step) if self.host == "two" else 1 // 0

    monkeypatch.setattr(models_api.HostPull, "_look", broken)
    with http_server(Ollama().answers) as one, http_server(Ollama().answers) as two:
        done, problems, _ = deliver(tmp_path, registry, {"one": one, "two": two})
    assert list(problems) == ["one"]
    assert "a defect of reaper_ops" in problems["one"]
    assert done["two"].error == ""


@pytest.mark.parametrize("script", [WELL[-1:], WELL], ids=["without a byte", "with every byte"])
def test_success_is_no_proof_without_the_model(tmp_path, registry, script):
    class Liar(Ollama):
        def pull(self, handler, name):
            super().pull(handler, name)
            self.models.clear()

    with http_server(Liar(script, script).answers) as server:
        done, _, events = deliver(tmp_path, registry, {"one": server})
    assert done["one"].error == f"the server said success, but {registry}/library/m:1 is not in its list"
    assert done["one"].next_step == "check the server's log"
    assert [event["event"] for event in events][-1] == "failed"
