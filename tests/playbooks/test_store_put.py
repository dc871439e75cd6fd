"""store_put: what was carried becomes a blob only by its hash, and a manifest comes last."""

from __future__ import annotations

import base64
import hashlib
import json
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
    assert f"blob {first[:19]} came as other bytes" in answer["msg"]
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
    assert "there is no model store" in module.fails(state="looked", models=wanted, models_dir=str(store / "none"))
