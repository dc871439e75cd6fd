"""`reaper-ops models mirror` on this machine: up, status, gc, down, with Ansible and the real programs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from mirror import site

from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.program import run as program
from reaper_ops.core.mirror.work import Work
from reaper_ops.flows.mirror import mirror
from reaper_ops.formats.mirror import mirror as formats

SIZE = 2 * site.SLICE + 7


@pytest.fixture
def place(short, resolver, upstream):
    """An inventory of one mirror without root."""
    site.publish(upstream.root, "library/big:1", SIZE)
    site.publish(upstream.root, "library/old:1", SIZE)
    settings = site.settings(short / "m", f"http://localhost:{upstream.server_address[1]}", resolver)
    wanted = {name: getattr(settings, name) for name in type(settings).model_fields if name.startswith("mirror_")}
    wanted = {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()}
    reached = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ollama_runtime": "process"}
    path = short / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": {"site": {**wanted, **reached}}}}))
    yield path, f"127.0.0.1:{settings.mirror_port}", short / "m"
    program(["models", "mirror", "down", "-i", str(path), "--yes", "--purge-own"])


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys):
    def verb(name: str, path: Path, *more: str) -> Done:
        capsys.readouterr()
        code = program(["models", "mirror", name, "-i", str(path), *more])
        return Done(code, *capsys.readouterr())

    return verb


def fetch(mirror, name):
    manifest = json.loads(site.get(f"http://{mirror}/v2/library/{name}/manifests/1")[2])
    for row in (manifest["config"], *manifest["layers"]):
        site.get(f"http://{mirror}/v2/library/{name}/blobs/{row['digest']}")
    return manifest


def test_life_of_a_mirror(place, run):
    path, mirror, directory = place
    up = run("up", path, "--yes", "--no-diff")
    assert up.code == 0, up.err
    assert "mirror/nginx" in up.out
    manifest, old = fetch(mirror, "big"), fetch(mirror, "old")
    found = json.loads(run("status", path, "-o", "json").out)["mirrors"][0]
    weights = manifest["layers"][0]["digest"]
    assert (found["word"], found["findings"]) == ("healthy", [])
    assert found["blobs"][weights] == {"bytes": SIZE, "total": SIZE, "pieces": 3, "whole": True}
    assert found["counters"]["wan_bytes"] >= 2 * SIZE
    gc(run, path, mirror, directory, manifest, old)
    gone = run("down", path, "--yes")
    assert gone.code == 0, gone.err
    assert not directory.exists()


def gc(run, path, mirror, directory, manifest, old):
    """What the lock does not name goes; a piece with a wrong byte is found and goes; both are fetched anew."""
    weights, other = manifest["layers"][0]["digest"], old["layers"][0]["digest"]
    entries = [
        {"digest": row["digest"], "size": row["size"], "media_type": row["mediaType"]} for row in manifest["layers"]
    ]
    model = {"digest": weights, "media_type": "", "size": 1, "layers": entries, "source": "", "at": ""}
    lock = directory.parent / "models.lock"
    lock.write_text(json.dumps({"schema": "reaper-ops/models.lock/1", "models": {"big:1": model}}))
    dry = run("gc", path, "--lock", str(lock), "-o", "json")
    assert other in json.loads(dry.out)["results"]["site"]["removed"], dry.err
    done = json.loads(run("gc", path, "--lock", str(lock), "--yes", "-o", "json").out)["results"]["site"]
    assert done["removed"][other] == "no model of the lock uses it"
    assert weights not in done["removed"]
    flip(directory / "cache", weights)
    wrong = json.loads(run("gc", path, "--verify", "--yes", "-o", "json").out)["results"]["site"]["removed"]
    assert wrong == {weights: "its bytes are wrong"}
    assert len(site.get(f"http://{mirror}/v2/library/big/blobs/{weights}")[2]) == SIZE


def flip(cache: Path, digest: str) -> None:
    piece = next(p for p in cache.rglob("*") if p.is_file() and f"KEY: {digest}".encode() in p.read_bytes()[:4096])
    data = bytearray(piece.read_bytes())
    data[-1] ^= 1
    piece.write_bytes(data)


def test_what_changed_since_it_was_shown_is_left_alone(place):
    path, _, directory = place
    written = []

    def edit(work: Work) -> bool:
        (file,) = (Path(a.target) for actions in work.todo.values() for a in actions if a.id == "mirror/nginx")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("# by hand\n")
        written.append(file)
        return True

    work = mirror.up(Source((str(path),)), edit)
    assert work.exit_code == 4
    assert [text.split(" ")[0] for text in work.withheld["site"]] == ["mirror/nginx"]
    assert "nothing was done" in formats.plan_text(work)
    assert written[0].read_text() == "# by hand\n"
    assert not (directory / "mirror.pid").exists()


def test_no_mirror_is_a_mistake_of_the_inventory(short, run):
    path = short / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": {"a": {"ansible_connection": "local"}}}}))
    found = run("status", path)
    assert found.code == 2
    assert "no host is a site mirror" in found.err


def test_without_an_address_and_networks_both_follow_from_the_inventory(place, run):
    path = place[0]
    rows = yaml.safe_load(path.read_text())
    del rows["all"]["hosts"]["site"]["mirror_bind"], rows["all"]["hosts"]["site"]["mirror_allow"]
    path.write_text(yaml.safe_dump(rows))
    port = rows["all"]["hosts"]["site"]["mirror_port"]
    shown = run("up", path, "--check").out
    assert f"it will listen on 127.0.0.1:{port}; who may pull: nobody but this host" in shown
    rows["all"]["hosts"] |= {"far": {"ansible_host": "203.0.113.7"}}
    path.write_text(yaml.safe_dump(rows))
    done = run("up", path, "-l", "site", "--yes")
    assert done.code == 2
    assert "site/mirror_bind: is not set" in done.err
    given = done.err.partition("such as mirror_bind: ")[2].partition(";")[0]
    assert given == "10.0.0.5"
    rows["all"]["hosts"]["site"]["mirror_bind"] = "127.0.0.1"
    path.write_text(yaml.safe_dump(rows))
    assert "who may pull: 203.0.113." in run("up", path, "--check").out
