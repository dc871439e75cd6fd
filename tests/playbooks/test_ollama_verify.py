"""ollama_verify on stores on disk: what is damaged, short, missing, unreadable or nobody's."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from reaper_ops.lab import models


@pytest.fixture
def store(tmp_path: Path) -> Path:
    models.publish(tmp_path / "store")
    (tmp_path / "store/manifests/library").rename(tmp_path / "library")
    (tmp_path / "store/manifests/registry.ollama.ai").mkdir()
    (tmp_path / "library").rename(tmp_path / "store/manifests/registry.ollama.ai/library")
    return tmp_path / "store"


def manifest(store: Path, model: str) -> Path:
    return store / "manifests/registry.ollama.ai/library" / model / "latest"


def weights(store: Path, model: str) -> Path:
    layers = json.loads(manifest(store, model).read_text())["layers"]
    return store / "blobs" / max(layers, key=lambda row: row["size"])["digest"].replace(":", "-")


def found(module, store, **more):
    answer = module(models_dir=str(store), **more)
    assert not answer.get("failed"), answer
    return answer


def by_model(answer):
    return {row["name"].split("/")[-1].split(":")[0]: row for row in answer["models"]}


def test_whole_stores_are_read_once_and_named(module, store):
    answer = found(module, store)
    rows = by_model(answer)
    assert {name: row["error"] for name, row in rows.items()} == {"tiny": "", "small": ""}
    assert rows["tiny"]["digest"] == hashlib.sha256(manifest(store, "tiny").read_bytes()).hexdigest()
    assert answer["bytes"] == sum(path.stat().st_size for path in (store / "blobs").iterdir())
    assert (answer["unnamed"], answer["store"], answer["changed"]) == ([], str(store), False)


def test_one_flipped_byte_is_found_in_every_model_that_has_the_blob(module, store):
    path = weights(store, "tiny")
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x10
    path.write_bytes(data)
    twin = manifest(store, "twin")
    twin.parent.mkdir()
    twin.write_bytes(manifest(store, "tiny").read_bytes())
    rows = by_model(found(module, store))
    assert rows["small"]["error"] == ""
    for name in ("tiny", "twin"):
        assert rows[name]["blobs"][0]["state"] == "damaged"
        assert f"blob {path.name[:19]} its bytes hash to" in rows[name]["error"]


@pytest.mark.parametrize(
    ("harm", "state", "said"),
    [
        (lambda path: path.unlink(), "missing", "is not there"),
        (lambda path: os.truncate(path, 100), "short", "has 100 bytes, the manifest says"),
        (lambda path: (path.unlink(), path.mkdir()), "unreadable", "is not a regular file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "unreadable", "is not a regular file"),
    ],
)
def test_other_harm_has_its_name(module, store, harm, state, said):
    harm(weights(store, "tiny"))
    row = by_model(found(module, store))["tiny"]
    assert [blob["state"] for blob in row["blobs"]] == [state]
    assert said in row["error"]


def test_what_nobody_names_is_read_too_and_a_manifest_that_is_none_is_told(module, store):
    good = b"a blob of a model that went"
    (store / "blobs" / f"sha256-{hashlib.sha256(good).hexdigest()}").write_bytes(good)
    (store / "blobs" / f"sha256-{'0' * 64}").write_bytes(b"damaged")
    (store / "blobs" / f"sha256-{'1' * 64}-partial").write_bytes(b"")
    manifest(store, "small").write_text("<html>")
    answer = found(module, store)
    assert sorted(blob["state"] for blob in answer["unnamed"])[:2] == ["damaged", "ok"]
    assert answer["unfinished"] == 1
    assert "does not answer with a manifest" in by_model(answer)["small"]["error"]
    chosen = found(module, store, models=["tiny"])
    assert (list(by_model(chosen)), chosen["unnamed"]) == (["tiny"], [])


def test_a_container_names_its_store_by_its_mount(module, store, tmp_path):
    mounts = [
        {"Source": str(tmp_path / "other"), "Destination": "/root"},
        {"Source": str(store.parent), "Destination": "/root/.ollama"},
    ]
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\necho '{json.dumps(mounts)}'\n")
    docker.chmod(0o755)
    path = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    answer = found(module, "/root/.ollama/store", container="ollama", env=path)
    assert answer["store"] == str(store)
    lost = module(models_dir="/models", container="ollama", env=path)
    assert "mounts nothing at /models" in lost["msg"]
    docker.write_text("#!/bin/sh\necho 'no such container' >&2; exit 1\n")
    assert "no such container" in module(models_dir="/models", container="ollama", env=path)["msg"]


def test_no_store_is_said(module, tmp_path):
    assert "no model store" in module.fails(models_dir=str(tmp_path / "none"))
