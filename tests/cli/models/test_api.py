"""`models pull` by the hosts' own API: the same bytes and words as through Ansible, one lock, one record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from models_fleet import fleet

from reaper_ops.adapters import inventory_files as beside
from reaper_ops.adapters import pulled
from reaper_ops.cli.program import run


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    with fleet(tmp_path_factory.mktemp("fleet"), "one") as found:
        found.write("tiny", "small", **found.mirror())
        assert run(["models", "lock", "-i", found.inventory]) == 0
        yield found


@pytest.fixture
def empty(one):
    for name in one.listed("one"):
        one.servers["one"].subject.ask("DELETE", "/api/delete", {"model": name})
    return one


def answer(capfd, *argv):
    capfd.readouterr()
    code = run(["models", *argv, "-o", "json"])
    return code, json.loads(capfd.readouterr().out)


def test_a_host_gets_the_bytes_of_the_lock_without_ansible(empty, capfd):
    code, found = answer(capfd, "pull", "-i", empty.inventory, "--via", "api")
    assert code == 3
    assert list(found["problems"]) == ["silent"]
    assert "cannot be reached or is not Ollama" in found["problems"]["silent"]
    assert found["notes"] == []
    assert {(row["host"], row["changed"], row["error"], row["via"]) for row in found["models"]} == {
        ("one", True, "", "api")
    }
    assert empty.listed("one") == empty.promised()
    record = pulled.fetched(empty.root / beside.RECORD)
    assert {name: row.digest for name, row in record["one"].items()} == empty.promised()
    served = empty.registry.bytes_sent
    assert run(["models", "pull", "-i", empty.inventory, "-l", "one"]) == 0
    assert "1 of 1 hosts are as asked; 0 models pulled" in capfd.readouterr().out
    assert empty.registry.bytes_sent == served


def test_the_way_of_each_host_is_chosen_and_told(empty, capfd):
    code, found = answer(capfd, "pull", "-i", empty.inventory)
    assert code == 3
    assert found["notes"][0] == "by the API of 1 host"
    assert found["notes"][1] == "through Ansible on silent: its API cannot be reached from here (refused)"
    assert {row["via"] for row in found["models"]} == {"api"}
    assert answer(capfd, "pull", "-i", empty.inventory, "-l", "one", "--via", "host")[1]["models"][0]["via"] == "host"


def test_prune_knows_what_came_by_the_api(empty, capfd):
    assert run(["models", "pull", "-i", empty.inventory, "-l", "one"]) == 0
    fewer = empty.root / "fewer.json"
    hosts = json.loads((empty.root / "hosts.yml").read_text())
    hosts["all"]["vars"]["ollama_models"] = [empty.name("tiny")]
    fewer.write_text(json.dumps(hosts))
    code, found = answer(capfd, "prune", "-i", str(fewer), "-l", "one", "--yes")
    assert code == 0
    assert [(row["name"], row["changed"]) for row in found["models"]] == [(empty.name("small"), True)]
    assert list(pulled.fetched(empty.root / beside.RECORD)["one"]) == [empty.name("tiny")]


def started(fleet, cache, *more):
    command = [sys.executable, "-m", "reaper_ops", "models", "pull", "-i", fleet.inventory, "-l", "one", "-o", "json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, *more], env={**os.environ, "XDG_CACHE_HOME": str(cache)}, **pipes)


@pytest.mark.parametrize("strategy", ["mirror", "direct"])
def test_of_two_runs_on_one_machine_one_pulls_and_nothing_is_left(empty, tmp_path, strategy):
    both = [started(empty, tmp_path, "--strategy", strategy) for _ in range(2)]
    ended = [(one.communicate(timeout=120)[0], one.returncode) for one in both]
    assert sorted(code for _, code in ended) in ([0, 0], [0, 3])
    for text, code in ended:
        assert code == 0 or "another pull from this machine runs" in json.loads(text)["problems"]["one"]
    assert empty.listed("one") == empty.promised()


@pytest.mark.parametrize("via", [("api", "api"), ("api", "host")])
def test_two_controllers_at_once_both_end_with_the_lock_and_each_byte_comes_once(empty, tmp_path, via):
    for path in (empty.root / "homes/one/models/blobs").iterdir():
        path.unlink()
    before = empty.registry.bytes_sent
    both = [started(empty, tmp_path / str(at), "--via", way) for at, way in enumerate(via)]
    for one in both:
        text, said = one.communicate(timeout=120)
        assert one.returncode == 0, text + said
    assert empty.listed("one") == empty.promised()
    sizes = {row["digest"]: row["size"] for one in entries(empty) for row in one["layers"]}
    assert empty.registry.bytes_sent - before == sum(sizes.values())


def entries(fleet):
    return json.loads(fleet.lock.read_text())["models"].values()


def test_a_lock_that_an_earlier_version_left_is_no_model_and_goes(empty, capfd):
    body = {"model": "reaper-ops/lock:ann-elsewhere.77-ab", "from": "x/1-a", "remote_host": "http://127.0.0.1:9"}
    ask = empty.servers["one"].subject.ask
    assert ask("POST", "/api/create", {**body, "stream": False}).status == 200
    assert answer(capfd, "pull", "-i", empty.inventory, "-l", "one")[0] == 0
    assert empty.listed("one") == empty.promised()
    assert ask("POST", "/api/create", {**body, "stream": False}).status == 200
    listed = answer(capfd, "list", "-i", empty.inventory, "-l", "one")[1]["models"]
    assert {row["name"] for row in listed} == set(empty.promised())
    assert answer(capfd, "prune", "-i", empty.inventory, "-l", "one", "--yes")[1]["notes"] == ["nothing to remove"]
    code, found = answer(capfd, "rm", "-i", empty.inventory, "-l", "one", "--yes", empty.name("tiny"))
    assert (code, [row["name"] for row in found["models"]]) == (0, [empty.name("tiny")])
    assert set(empty.listed("one")) == {empty.name("small")}


def pulls(pid):
    """Whether this process holds a host: then it has read the inventory, and its pull has begun or is about to."""
    locks = (Path(os.environ["XDG_CACHE_HOME"]) / "reaper_ops/pulls").glob("*.lock")
    return any(f'"pid": {pid},' in path.read_text() for path in locks)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_hangs_up_and_says_that_nothing_is_lost(empty, number, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stalled = empty.root / "stalled.json"
    hosts = json.loads((empty.root / "hosts.yml").read_text())
    hosts["all"]["vars"]["ollama_models"] = [f"{empty.registry.name}/stall/small:latest"]
    stalled.write_text(json.dumps(hosts))
    command = [sys.executable, "-m", "reaper_ops", "models", "pull", "-i", str(stalled), "-l", "one"]
    extra = ["--lock", str(empty.root / "none.lock"), "--strategy", "direct"]
    before = empty.registry.bytes_sent
    running = subprocess.Popen([*command, *extra], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(4000):
        if pulls(running.pid) and empty.registry.bytes_sent > before:
            break
        time.sleep(0.05)
    assert pulls(running.pid)
    assert empty.listed("one") == {}
    running.send_signal(number)
    table, said = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "one: stopped; what was downloaded stays for the next run" in table
    assert "stopped; nothing is lost" in said
    assert empty.listed("one") == {}
