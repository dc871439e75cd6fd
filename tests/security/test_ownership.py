"""`doctor --fix` and `up` give directories away: by no link, `..`, hard link or FIFO does a file of root go along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from security.conftest import LESSER, Ground, library

OWNED = library("owned_directory")


def give(ground: Ground, path: str | Path, **more: Any) -> dict[str, Any]:
    params = {"path": str(path), "owner": str(LESSER), "group": str(LESSER), "mode": "0755", "recurse": True}
    found: dict[str, Any] = OWNED.step({**params, "within": [str(ground.home), str(ground.store)], **more}, False)
    return found


def test_a_link_in_the_store_stays_a_link_and_its_target_stays_roots(ground: Ground) -> None:
    ground.link("models/x", ground.victim / "shadow")
    ground.link("models/d", ground.victim)
    answer = give(ground, ground.home)
    assert [line.partition(": ")[2] for line in answer["refused"]] == ["is neither a file nor a directory"] * 2
    assert (ground.home / "models/x").is_symlink()


def test_what_root_left_in_the_store_becomes_the_users(ground: Ground) -> None:
    (ground.store / "blobs/sha256-cc").write_text("by sudo ollama serve")
    os.chown(ground.store / "manifests", 0, 0)
    assert give(ground, ground.store)["given"] == 2
    assert (ground.store / "blobs/sha256-cc").stat().st_uid == (ground.store / "manifests").stat().st_uid == LESSER
    assert give(ground, ground.store)["changed"] is False


def test_a_hard_link_to_a_file_of_root_keeps_its_owner(ground: Ground) -> None:
    os.link(ground.victim / "shadow", ground.store / "blobs/sha256-dd")
    assert "has 2 hard links" in give(ground, ground.store)["refused"][0]


def test_a_fifo_neither_hangs_nor_changes_hands(ground: Ground) -> None:
    os.mkfifo(ground.store / "pipe")
    assert "neither a file nor a directory" in give(ground, ground.store)["refused"][0]
    assert (ground.store / "pipe").stat().st_uid == 0


@pytest.mark.parametrize(
    "path",
    [
        "{store}/../../victim",
        "{store}/../../../../../../../../etc/cron.d",
        "{victim}",
        "/",
        "/etc",
        "{home}x",
        "models",
    ],
)
def test_a_path_of_a_log_line_must_lie_in_what_is_ours(ground: Ground, path: str) -> None:
    with pytest.raises(OWNED.tree.Refused, match=r"lies outside|is not a plain absolute path"):
        give(ground, path.format(home=ground.home, store=ground.store, victim=ground.victim))


@pytest.mark.parametrize("home", ["/", "/etc", "/var/lib", "/usr/share"])
def test_a_home_that_is_a_directory_of_the_system_makes_nothing_ours(ground: Ground, home: str) -> None:
    with pytest.raises(OWNED.tree.Refused, match="outside"):
        give(ground, "/etc/cron.d", within=[home])


@pytest.mark.parametrize("name", ["models", "models/inner", "models/inner/deeper"])
def test_a_link_on_the_way_is_refused_for_up_too(ground: Ground, name: str) -> None:
    """Also without `within`, where the path is a setting: `up` makes the store and the mirror's directories so."""
    os.rename(ground.store, ground.home / "before")
    ground.link("models", ground.victim)
    with pytest.raises(OWNED.tree.Refused, match=f"is a link of user {LESSER}"):
        give(ground, ground.home / name, within=None, recurse=False)


def test_a_link_that_root_laid_is_the_admins_will(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "short").symlink_to(tmp_path / "disk")
    answer = give(ground, tmp_path / "short/models", within=None, recurse=False)
    assert answer["path"] == str(tmp_path / "disk/models")
    assert (tmp_path / "disk/models").stat().st_uid == LESSER


def test_a_deep_tree_ends_by_a_reason(ground: Ground) -> None:
    os.makedirs(ground.store / "/".join("d" * 90))
    ground.theirs()
    with pytest.raises(OWNED.tree.Refused, match="deeper than"):
        give(ground, ground.store)
