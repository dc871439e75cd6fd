"""`models pull` by the API of simulated hosts through the real mirror, without Ansible on them."""

from __future__ import annotations

import json
import sys

import pytest
from mirror import site
from subject import Starter, simulated

from reaper_ops.cli.program import run
from reaper_ops.core.models.lock import Lock, dump, from_manifest

HOSTS, SIZE = 4, 48 << 20


@pytest.fixture
def ollamas(short):
    starter = Starter("simulated", simulated(short / "tree"), short / "hosts")
    started = [starter.start() for _ in range(HOSTS)]
    for one in started:
        one.wait_ready()
    yield started
    starter.stop()


def fleet(short, ollamas, mirror, digest, upstream):
    hosts = {f"h{at}": {"ollama_port": int(one.subject.url.rpartition(":")[2])} for at, one in enumerate(ollamas)}
    shared = {
        "ansible_connection": "local",
        "ollama_runtime": "process",
        "ollama_models": ["big:1"],
        "ollama_mirror": f"http://{mirror}",
    }
    path = short / "hosts.yml"
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
    manifest = (upstream.root / "manifests/library/big/1").read_bytes()
    entry = from_manifest("big:1", manifest, f"sha256:{digest}", "", "")
    (short / "models.lock").write_text(dump(Lock((entry,))))
    return str(path)


def test_one_copy_comes_in_and_every_host_has_the_canonical_name(short, resolver, upstream, ollamas, capfd):
    digest = site.publish(upstream.root, "library/big:1", SIZE)
    wanted = site.settings(short / "m", f"http://localhost:{upstream.server_address[1]}", resolver)
    with site.running(wanted) as mirror:
        inventory = fleet(short, ollamas, mirror, digest, upstream)
        capfd.readouterr()
        code = run(["models", "pull", "-i", inventory, "--via", "api", "-o", "json"])
    said = capfd.readouterr()
    found = json.loads(said.out)
    assert code == 0, found
    for one in ollamas:
        [model] = one.subject.ask("GET", "/api/tags").json()["models"]
        assert (model["name"], model["digest"]) == ("big:1", digest)
    assert SIZE <= upstream.bytes_sent <= 1.02 * SIZE
    assert found["traffic"]["wan"] == 0
    assert found["traffic"]["once"] <= 1.02 * SIZE
    events = [json.loads(line) for line in said.err.splitlines() if line.startswith("{")]
    assert {event["network"] for event in events if event["event"] == "progress"} == {"lan"}
    assert {event["host"] for event in events if event["event"] == "changed"} == {"h0", "h1", "h2", "h3"}


def unnamed(short, ollamas, mirror, digest, upstream):
    """The same fleet, whose hosts name no mirror; it has one."""
    path = fleet(short, ollamas, mirror, digest, upstream)
    inventory = json.loads((short / "hosts.yml").read_text())
    shared = inventory["all"]["vars"]
    del shared["ollama_mirror"]
    there = f"localhost:{upstream.server_address[1]}"
    shared |= {
        "ansible_python_interpreter": sys.executable,
        "ollama_mirror_registries": ["registry.ollama.ai", there],
    }
    port = int(mirror.rpartition(":")[2])
    inventory["all"]["hosts"]["site"] = {
        "mirror_runtime": "process",
        "mirror_port": port,
        "mirror_upstream": f"http://{there}",
        "ollama_managed": False,
    }
    for at, row in enumerate(inventory["all"]["hosts"].values()):
        row |= {"ollama_home": str(short / f"home{at}"), "ollama_models_dir": str(short / f"home{at}" / "models")}
    (short / "hosts.yml").write_text(json.dumps(inventory))
    return path


@pytest.mark.parametrize("via", ["api", "host"])
def test_hosts_that_name_no_mirror_use_the_one_of_their_inventory(short, resolver, upstream, ollamas, capfd, via):
    digest = site.publish(upstream.root, "library/big:1", SIZE)
    wanted = site.settings(short / "m", f"http://localhost:{upstream.server_address[1]}", resolver)
    with site.running(wanted) as mirror:
        inventory = unnamed(short, ollamas, mirror, digest, upstream)
        one = run(["models", "plan", "-i", inventory, "-o", "json", "-l", "h0"]), json.loads(capfd.readouterr().out)
        many = run(["models", "plan", "-i", inventory, "-o", "json", "-l", "h0,h1"]), json.loads(capfd.readouterr().out)
        run(["plan", "-i", inventory, "-o", "json", "-l", "h0,h1"])
        brings = json.loads(capfd.readouterr().out)["note"]
        code = run(["models", "pull", "-i", inventory, "-l", "h*", "--via", via, "-o", "json"])
    found = json.loads(capfd.readouterr().out)
    assert code == 0, found
    assert (one[1]["lan_bytes"], one[1]["note"]) == (0, "")
    assert brings == many[1]["note"] != ""
    assert many[1]["wan_bytes"] == many[1]["lan_bytes"] / 2 >= SIZE
    note = f"hosts that name no mirror ({HOSTS}) use that of the inventory, http://127.0.0.1:{wanted.mirror_port}"
    assert note in found["notes"]
    assert SIZE <= upstream.bytes_sent <= 1.02 * SIZE


def test_a_mirror_that_does_not_answer_is_said_and_not_waited_for(short, resolver, upstream, ollamas, capfd):
    digest = site.publish(upstream.root, "library/big:1", SIZE)
    inventory = unnamed(short, ollamas, "127.0.0.1:1025", digest, upstream)
    assert run(["models", "plan", "-i", inventory, "-l", "h*"]) == 0
    said = "the site mirror does not answer at http://127.0.0.1:1025, so each host pulls by itself"
    assert said in capfd.readouterr().out
    assert run(["models", "pull", "-i", inventory, "-l", "h*", "--strategy", "mirror"]) == 2
    assert "site: is the site mirror, and does not answer at" in capfd.readouterr().err
