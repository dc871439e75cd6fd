"""`models pull` by the API of simulated hosts through the real mirror, without Ansible on them."""

from __future__ import annotations

import json

import pytest
from mirror import site
from subject import Starter, simulated

from reaper_ops.cli.program import run
from reaper_ops.core.delivery.lock import Lock, dump, from_manifest

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
