"""`models bundle load|create`, `verify`, `pull` in a store whose user plants links, hard links and FIFOs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from security.conftest import LESSER, SECRET, Ground, library, shared, snapshot

PUT, VERIFY = library("store_put"), library("ollama_verify")
TREE, PARTIALS, PROGRESS = shared("reaper_tree"), shared("reaper_partials"), shared("reaper_progress")
BLOB = b'{"model_format": "gguf"}'
DIGEST = "sha256:" + hashlib.sha256(BLOB).hexdigest()
MANIFEST = json.dumps({"config": {"digest": DIGEST, "size": len(BLOB)}, "layers": []}).encode()


def wanted() -> list[dict[str, Any]]:
    data = base64.b64encode(MANIFEST).decode()
    digest = "sha256:" + hashlib.sha256(MANIFEST).hexdigest()
    return [{"name": "r/l/m:t", "manifest": data, "digest": digest, "blobs": {DIGEST: len(BLOB)}}]


def load(ground: Ground, carry: bool = True) -> list[dict[str, Any]]:
    store, params = str(ground.store), {"models": wanted(), "min_free": 0}
    PUT.look(store, params)
    if carry:
        (ground.store / PUT.ROOM / DIGEST[7:]).write_bytes(BLOB)
    rows: list[dict[str, Any]] = PUT.place(store, params)
    return rows


def test_a_model_is_loaded_as_the_owner_of_the_store(ground: Ground) -> None:
    assert load(ground)[0]["error"] == ""
    for path in (ground.store / "blobs" / DIGEST.replace(":", "-"), ground.store / "manifests/r/l/m/t"):
        assert path.stat().st_uid == path.stat().st_gid == LESSER
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.parametrize("place", ["blobs", "manifests", "manifests/r", ".reaper_ops"])
def test_nothing_is_written_through_a_linked_directory(ground: Ground, place: str) -> None:
    if os.path.lexists(ground.store / place):
        os.rename(ground.store / place, ground.home / "before")
    ground.link(f"models/{place}", ground.victim)
    with pytest.raises((OSError, PUT.Trouble)):
        load(ground, carry=place != ".reaper_ops")


@pytest.mark.parametrize("kind", ["link", "hard", "fifo"])
def test_what_was_carried_is_read_only_where_root_alone_can_write(ground: Ground, kind: str) -> None:
    room = ground.store / PUT.ROOM
    room.mkdir()
    os.chown(room, LESSER, LESSER)
    with pytest.raises(PUT.Trouble, match="another user can write there"):
        load(ground)


def test_a_store_of_root_in_which_others_can_write_is_refused(ground: Ground) -> None:
    os.chown(ground.store, 0, LESSER)
    ground.store.chmod(0o775)
    with pytest.raises(TREE.Refused, match="belongs to root, but other users can write there"):
        load(ground)


def verified(ground: Ground) -> dict[str, Any]:
    params = {"models_dir": str(ground.store), "container": None, "models": []}
    answer: dict[str, Any] = VERIFY.check({**params, "progress_file": None, "heartbeat": None})
    return answer


@pytest.mark.parametrize("kind", ["link", "hard", "fifo", "directory"])
def test_verify_gives_no_text_of_a_file_of_root(ground: Ground, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VERIFY, "behind_others", lambda: True)
    place = ground.store / "manifests/r/l/m/t"
    place.parent.mkdir(parents=True)
    blob = ground.store / "blobs" / ("sha256-" + "a" * 64)
    if kind == "link":
        ground.link(place, ground.victim / "shadow")
        ground.link(blob, ground.victim / "shadow")
    elif kind == "hard":
        os.link(ground.victim / "shadow", place)
        os.link(ground.victim / "shadow", blob)
    elif kind == "fifo":
        os.mkfifo(place)
        os.mkfifo(blob)
    else:
        place.parent.rmdir()
        ground.link("models/manifests/r/l/m", ground.victim / "r/l/m")
    ground.theirs()
    answer = verified(ground)
    assert SECRET not in json.dumps(answer)
    digest = hashlib.sha256((ground.victim / "shadow").read_bytes()).hexdigest()
    assert digest[:12] not in json.dumps(answer)


@pytest.mark.parametrize("kind", ["blobs", "note", "partial", "fifo"])
def test_damaged_parts_are_removed_in_the_store_only(ground: Ground, kind: str) -> None:
    digest = "sha256:" + "b" * 64
    name = f"blobs/sha256-{'b' * 64}-partial"
    (ground.victim / Path(name).name).write_text("x")
    (ground.victim / f"{Path(name).name}-0").write_text('{"cut')
    object.__setattr__(ground, "before", snapshot(ground.victim))
    if kind == "blobs":
        os.rename(ground.store / "blobs", ground.home / "before")
        ground.link("models/blobs", ground.victim)
        with pytest.raises(TREE.Refused):
            PARTIALS.discard_damaged([digest], str(ground.store))
        return
    if kind == "fifo":
        os.mkfifo(ground.store / f"{name}-0")
    else:
        (ground.store / f"{name}-1").write_text('{"cut')
        ground.link(f"models/{name}-0" if kind == "note" else f"models/{name}", ground.victim / "shadow")
    found = PARTIALS.discard_damaged([digest], str(ground.store))
    assert found == ([] if kind == "fifo" else [digest])
    assert not os.path.lexists(ground.store / f"{name}-1")


@pytest.mark.parametrize("kind", ["link", "hard"])
def test_progress_is_written_through_no_laid_name(ground: Ground, kind: str) -> None:
    """Where a temporary directory is everybody's, and the names can be seen there."""
    for name in ("progress", "progress.tmp", f"progress.tmp-{os.getpid()}"):
        place = ground.home / name
        ground.link(place, ground.victim / "shadow") if kind == "link" else os.link(ground.victim / "shadow", place)
    told = PROGRESS.Progress({"progress_file": str(ground.home / "progress"), "heartbeat": None})
    told.event({"status": "starting"}, force=True)
    assert json.loads((ground.home / "progress").read_text())["status"] == "starting"


def test_acting_as_somebody_leaves_roots_groups_behind(ground: Ground) -> None:
    secret = ground.home.parent / "of-the-group"
    secret.write_text(SECRET)
    secret.chmod(0o640)
    before = os.getgroups()
    os.setgroups([0])
    try:
        with TREE.acting_as((LESSER, LESSER)), pytest.raises(PermissionError):
            secret.read_text()
        assert os.getgroups() == [0]
    finally:
        os.setgroups(before)
