"""`models pull --strategy push`: hosts that reach no registry get the bytes of the lock from this machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from models_fleet import fleet
from servers import free_port

from reaper_ops.adapters import manifests
from reaper_ops.cli.program import run


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    with fleet(tmp_path_factory.mktemp("fleet"), "one") as found:
        found.write("tiny", "small")
        assert run(["models", "lock", "-i", found.inventory]) == 0
        yield found


@pytest.fixture
def one(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in kept.listed("one"):
        kept.servers["one"].subject.ask("DELETE", "/api/delete", {"model": name})
    for path in blobs(kept):
        path.unlink()
    kept.registry.sent.clear()
    return kept


def blobs(fleet):
    return list((fleet.root / "homes/one/models/blobs").iterdir())


def push(capfd, fleet, *argv):
    capfd.readouterr()
    code = run(["models", "pull", "-i", fleet.inventory, "-l", "one", "--strategy", "push", "-o", "json", *argv])
    said = capfd.readouterr()
    assert said.out, said.err
    return code, json.loads(said.out)


def test_blobs_go_by_the_api_and_the_manifest_keeps_its_digest(one, capfd, tmp_path):
    code, found = push(capfd, one)
    assert code == 0, found
    assert one.listed("one") == one.promised()
    assert {(row["via"], row["changed"], row["error"]) for row in found["models"]} == {("api", True, "")}
    entries = json.loads(one.lock.read_text())["models"].values()
    sizes = {layer["digest"]: layer["size"] for entry in entries for layer in entry["layers"]}
    assert one.registry.bytes_sent == sum(sizes.values())
    assert sum(row["bytes"] for row in found["models"]) == found["traffic"]["lan"] == sum(sizes.values())
    assert not list((tmp_path / "reaper_ops/push").iterdir())


def test_a_host_that_does_not_reach_this_machine_gets_all_through_ansible(one, capfd, monkeypatch):
    monkeypatch.setattr(manifests, "own_address", lambda url: "")
    code, found = push(capfd, one)
    assert code == 0, found
    assert one.listed("one") == one.promised()
    assert {row["via"] for row in found["models"]} == {"host"}
    assert found["notes"] == ["through Ansible on one: it does not reach this machine"]


def test_a_firewall_before_this_machine_is_noticed_before_a_byte_is_sent(one, capfd, monkeypatch):
    real = manifests.serving

    def elsewhere(addresses, aliases, port):
        shut = f"127.0.0.1:{free_port()}"
        return real(set(), aliases, port) if not addresses else _given(dict.fromkeys(addresses, shut))

    monkeypatch.setattr(manifests, "serving", elsewhere)
    code, found = push(capfd, one, "--via", "api")
    assert code == 3
    assert "does not reach this machine" in found["problems"]["one"]
    assert one.listed("one") == {}
    assert blobs(one) == []


class _given:
    def __init__(self, doors):
        self.doors = doors

    def __enter__(self):
        return self.doors

    def __exit__(self, *_):
        return None


def test_a_damaged_blob_is_refused_by_the_host_and_named(one, capfd, monkeypatch):
    from reaper_ops.adapters import pack

    real = pack.read

    def damaged(place):
        bundle = real(place)
        largest = max(bundle.pieces.values(), key=lambda piece: piece.size)
        with open(largest.path, "r+b") as file:
            file.write(b"\xff\xfe\xfd")
        return bundle

    monkeypatch.setattr(pack, "read", damaged)
    code, found = push(capfd, one, "--via", "api", "--retries", "0")
    assert code == 3
    [bad] = [row for row in found["models"] if row["error"]]
    assert "digest mismatch" in bad["error"]
    assert bad["name"] not in one.listed("one")
    good = {row["name"] for row in found["models"] if not row["error"]}
    assert set(one.listed("one")) == good
    assert all(
        hashlib.sha256(path.read_bytes()).hexdigest() == path.name.removeprefix("sha256-") for path in blobs(one)
    )


def test_names_that_a_killed_push_left_leave_when_the_model_has_its_own(one, capfd):
    """The registry here has another port in each run, and so has the name under which a host pulls from it."""
    from reaper_ops.core.models import push as pushing

    assert push(capfd, one)[0] == 0
    [name, *_] = one.promised()
    ask = one.servers["one"].subject.ask
    for left in (f"10.0.0.9:40123/{pushing.alias(name)}", f"10.0.0.9:40123/push-{'0' * 12}/other:1"):
        assert ask("POST", "/api/copy", {"source": name, "destination": left}).status == 200
    code, found = push(capfd, one)
    assert code == 0, found
    assert one.listed("one").keys() - one.promised().keys() == {left}


def test_a_blob_that_is_gone_from_this_machine_fails_its_model_alone(one, capfd, monkeypatch):
    from reaper_ops.adapters import pack

    real = pack.read

    def gone(place):
        bundle = real(place)
        Path(max(bundle.pieces.values(), key=lambda piece: piece.size).path).unlink()
        return bundle

    monkeypatch.setattr(pack, "read", gone)
    code, found = push(capfd, one, "--via", "api", "--retries", "0")
    assert code == 3
    [bad] = [row for row in found["models"] if row["error"]]
    assert "No such file" in bad["error"]
    assert set(one.listed("one")) == {row["name"] for row in found["models"] if not row["error"]}


def test_a_port_with_a_404_in_it_is_no_answer_of_this_machine():
    from reaper_ops.core.models import push as pushing

    refused = 'pull model manifest: Get "http://10.0.0.9:40404/v2/": dial tcp 10.0.0.9:40404: connection refused'
    for said, reached in ((refused, False), ("pull model manifest: file does not exist", True)):
        steps = pushing.greet({}, "10.0.0.9:40404")
        next(steps)
        with pytest.raises(StopIteration) as end:
            steps.send(said)
        assert end.value.value is reached


@pytest.mark.parametrize("words", [("--push-rate", "9M"), ("--push-port", "5000"), ("--seed-address", "10.0.0.1")])
def test_options_of_another_strategy_are_refused_and_not_ignored(kept, capfd, words):
    assert run(["models", "pull", "-i", kept.inventory, *words]) == 2
    assert f"{words[0]}: means nothing without --strategy" in capfd.readouterr().err
    assert run(["models", "pull", "-i", kept.inventory, "--strategy", "push", "--push-port", "70000"]) == 2


def test_a_second_push_of_the_same_models_from_here_is_refused(one, capfd):
    from reaper_ops.adapters import lockfile, pack_writer
    from reaper_ops.flows.models import push as models_push

    with pack_writer.alone(models_push._place(lockfile.needed(one.lock))):
        code = run(["models", "pull", "-i", one.inventory, "--strategy", "push"])
    assert code == 2
    assert "another push of the same models runs here; wait for its end" in capfd.readouterr().err
    assert one.listed("one") == {}
