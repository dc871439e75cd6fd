"""store_put: what was carried becomes a blob only by its hash, and a manifest comes last."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from reaper_ops.lab import models
from tests import modern_store

NAME = "registry.ollama.ai/library/tiny:latest"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    models.publish(tmp_path / "source", {"library/tiny:latest": models.MODELS["library/tiny:latest"]})
    return tmp_path / "source"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def request(source: Path, name: str = NAME):
    data = (source / "manifests/library/tiny/latest").read_bytes()
    document = json.loads(data)
    blobs = {row["digest"]: row["size"] for row in (document["config"], *document["layers"])}
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return [{"name": name, "manifest": base64.b64encode(data).decode(), "digest": digest, "blobs": blobs}]


def carry(source: Path, staging: str, digest: str, harm: bytes = b"") -> None:
    data = (source / "blobs" / digest.replace(":", "-")).read_bytes()
    (Path(staging) / digest[7:]).write_bytes(harm + data[len(harm) :])


def test_what_is_lacking_is_told_carried_placed_and_there_the_next_time(module, source, store):
    wanted = request(source)
    looked = module(state="looked", models=wanted, models_dir=str(store))
    assert looked["missing"] == wanted[0]["blobs"]
    for digest in looked["missing"]:
        carry(source, looked["staging"], digest)
    placed = module(models=wanted, models_dir=str(store), record=str(store / "pulls.json"))
    assert (placed["changed"], placed["models"][0]["error"]) == (True, "")
    target = store / "manifests/registry.ollama.ai/library/tiny/latest"
    assert target.read_bytes() == base64.b64decode(wanted[0]["manifest"])
    assert json.loads((store / "pulls.json").read_text())[NAME]["digest"] == wanted[0]["digest"][7:]
    assert module(state="looked", models=wanted, models_dir=str(store))["missing"] == {}
    assert module(models=wanted, models_dir=str(store))["changed"] is False
    other = request(source, NAME.replace("tiny", "Tiny"))
    assert module(models=other, models_dir=str(store))["changed"] is False
    assert [path.name for path in target.parent.parent.iterdir()] == ["tiny"]


def put(module, source, store, name: str = NAME, **more):
    wanted = request(source, name)
    looked = module(state="looked", models=wanted, models_dir=str(store))
    for digest in looked["missing"]:
        carry(source, looked["staging"], digest)
    return module(models=wanted, models_dir=str(store), **more)


def test_in_a_store_of_0_40_it_is_what_that_server_reads_and_what_an_older_one_reads(module, source, store):
    made = modern_store.migrated(store)
    listed = made.entry.read_bytes()
    assert put(module, source, store)["changed"]
    data = (source / "manifests/library/tiny/latest").read_bytes()
    old = store / "manifests/registry.ollama.ai/library/tiny/latest"
    assert (made.entry.is_symlink(), made.entry.read_bytes(), old.read_bytes()) == (False, data, data)
    assert modern_store.path_of(store, made.listed).read_bytes() == listed
    assert not put(module, source, store)["changed"]
    assert put(module, source, store, "127.0.0.1:5000/team/new:1")["changed"]
    assert (store / "manifests-v2/127.0.0.1%3A5000/team/new/1").read_bytes() == data
    assert (store / "manifests/127.0.0.1:5000/team/new/1").read_bytes() == data


def test_what_a_server_of_0_40_pulled_itself_is_left_as_it_made_it(module, source, store):
    data = (source / "manifests/library/tiny/latest").read_bytes()
    entry = modern_store.linked(store, data, "ollama.com/library/tiny/latest")
    modern_store.legacy(store, b"for an older server", "registry.ollama.ai/library/tiny/latest")
    assert not put(module, source, store)["changed"]
    assert entry.is_symlink()
    assert (store / "manifests/registry.ollama.ai/library/tiny/latest").read_bytes() == b"for an older server"


class Tags(BaseHTTPRequestHandler):
    """Lists what a test says."""

    listed: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        rows = [{"name": name, "digest": digest, "size": 1} for name, digest in self.listed.items()]
        body = json.dumps({"models": rows}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


def test_the_servers_own_list_proves_it(module, source, store):
    digest = request(source)[0]["digest"].removeprefix("sha256:")
    with ThreadingHTTPServer(("127.0.0.1", 0), Tags) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        Tags.listed = {"tiny:latest": digest}
        assert put(module, source, store, url=url)["models"][0]["error"] == ""
        Tags.listed = {"tiny:latest": "0" * 64}
        assert f"the server lists 000000000000, stored was {digest[:12]}" in put(module, source, store, url=url)["msg"]
        Tags.listed = {}
        assert "the server lists no such model" in put(module, source, store, url=url)["msg"]
        server.shutdown()
    (row,) = put(module, source, store, url="http://127.0.0.1:9")["models"]
    assert (row["error"], "no server has listed it" in row["notes"][0]) == ("", True)


def test_bytes_that_changed_on_the_way_are_no_blob_and_name_no_model(module, source, store):
    wanted = request(source)
    looked = module(state="looked", models=wanted, models_dir=str(store))
    first, *others = looked["missing"]
    carry(source, looked["staging"], first, harm=b"\0")
    for digest in others:
        carry(source, looked["staging"], digest)
    answer = module(models=wanted, models_dir=str(store))
    assert answer["failed"]
    assert f"blob {first[:19]} arrived damaged" in answer["msg"]
    assert not (store / "manifests").exists()
    assert not (store / "blobs" / first.replace(":", "-")).exists()
    again = module(state="looked", models=wanted, models_dir=str(store))
    assert list(again["missing"]) == [first]
    carry(source, again["staging"], first)
    assert module(models=wanted, models_dir=str(store))["models"][0]["error"] == ""


def test_no_room_and_no_store_are_said_before_anything_is_carried(module, source, store):
    wanted = request(source)
    said = module.fails(state="looked", models=wanted, models_dir=str(store), min_free=1 << 60)
    assert "must stay free" in said
    assert not list(store.iterdir())
    assert "no model store" in module.fails(state="looked", models=wanted, models_dir=str(store / "none"))


@pytest.mark.parametrize("harm", ["link", "open"])
def test_nothing_goes_through_a_place_that_somebody_else_may_write(module, source, store, tmp_path, harm):
    """Root carries into a store that its server's user owns, so a link there must not lead root away."""
    wanted, victim = request(source), tmp_path / "victim"
    victim.mkdir()
    if harm == "link":
        (store / ".reaper_ops").symlink_to(victim)
    else:
        (store / ".reaper_ops").mkdir()
        (store / ".reaper_ops").chmod(0o777)
    for digest in wanted[0]["blobs"]:
        carry(source, str(store / ".reaper_ops"), digest)
    assert module(state="looked", models=wanted, models_dir=str(store))["failed"]
    assert module(models=wanted, models_dir=str(store))["failed"]
    assert not (store / "manifests").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_root_makes_what_the_owner_of_the_store_would_make(module, source, store):
    wanted, nobody = request(source), 65534
    os.chown(store, nobody, nobody)
    for directory in [store, *store.parents[:-2]]:
        directory.chmod(directory.stat().st_mode | 0o111)
    looked = module(state="looked", models=wanted, models_dir=str(store))
    first, *others = looked["missing"]
    for digest in others:
        carry(source, looked["staging"], digest)
    (Path(looked["staging"]) / first[7:]).symlink_to("/etc/hostname")
    answer = module(models=wanted, models_dir=str(store))
    assert answer["failed"]
    (Path(looked["staging"]) / first[7:]).unlink()
    carry(source, looked["staging"], first)
    assert module(models=wanted, models_dir=str(store))["changed"]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in store.rglob("*")} == {(nobody, nobody)}
    assert Path("/etc/hostname").stat().st_uid == 0


def test_what_was_carried_in_vain_a_week_ago_goes(module, source, store):
    wanted = request(source)
    staging = Path(module(state="looked", models=wanted, models_dir=str(store))["staging"])
    for name in ("0" * 64, "1" * 64):
        (staging / name).write_text("")
    os.utime(staging / ("0" * 64), (0, 0))
    module(state="looked", models=wanted, models_dir=str(store))
    assert [path.name for path in staging.iterdir()] == ["1" * 64]
