"""`models verify --repair` and `doctor --fix` move files of a store; its user cannot have root move others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from security.conftest import LESSER, Ground, library

ASIDE = library("store_quarantine")
REFUSED = (ASIDE.Refused, ASIDE.tree.Refused)
TAG = "manifests/registry.ollama.ai/library/llama3/evil.sh"


def act(ground: Ground, name: str, state: str) -> object:
    return ASIDE.step({"store": str(ground.store), "path": str(ground.store / name), "state": state}, False)


@pytest.mark.parametrize("at", ["", "manifests", "manifests/registry.ollama.ai/library/llama3"])
def test_nothing_is_moved_through_a_link_where_it_is_kept(ground: Ground, at: str) -> None:
    ground.link(Path("models/set-aside") / at, ground.victim)
    with pytest.raises(REFUSED, match="is a link of user"):
        act(ground, TAG, "quarantined")
    assert (ground.store / TAG).exists()


@pytest.mark.parametrize("state", ["restored", "discarded"])
def test_nothing_is_taken_or_deleted_through_a_link(ground: Ground, state: str) -> None:
    ground.link("models/set-aside/blobs", ground.victim / "blobs")
    with pytest.raises(REFUSED, match="is a link of user"):
        act(ground, "blobs/sha256-aa", state)


@pytest.mark.parametrize("room", ["blobs", "manifests"])
def test_a_room_that_is_a_link_is_refused(ground: Ground, room: str) -> None:
    os.rename(ground.store / room, ground.home / "before")
    ground.link(f"models/{room}", ground.victim)
    with pytest.raises(REFUSED, match="is a link of user"):
        act(ground, f"{room}/shadow", "quarantined")


@pytest.mark.parametrize("name", ["blobs/../../../victim/shadow", "manifests/..", "blobs/.", "set-aside/blobs/x"])
def test_dots_lead_nowhere(ground: Ground, name: str) -> None:
    with pytest.raises(REFUSED):
        act(ground, name, "quarantined")


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_file_stays(ground: Ground, kind: str) -> None:
    place = ground.store / "blobs/sha256-ee"
    if kind == "link":
        ground.link(place, ground.victim / "shadow")
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(REFUSED, match="not a regular file"):
        act(ground, "blobs/sha256-ee", "quarantined")
    assert os.path.lexists(place)


def test_what_root_makes_in_the_store_belongs_to_its_owner(ground: Ground) -> None:
    act(ground, TAG, "quarantined")
    assert {path.stat().st_uid for path in (ground.store / "set-aside").rglob("*")} == {LESSER}
    act(ground, TAG, "restored")
    assert (ground.store / TAG).read_text() == "his own"
    assert not (ground.store / "set-aside").exists()
