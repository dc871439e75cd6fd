"""store_put: what was carried becomes a blob only by its hash, and a manifest comes last."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

from reaper_ops.lab import models

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
