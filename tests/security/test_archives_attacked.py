"""Archives of a release: what was hashed is what is unpacked, and what fails leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from security.conftest import LESSER, Ground, library, shared

from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.inventory import settings
from reaper_ops.core.provision import desired_state

RELEASE, OWNED = library("ollama_release"), library("owned_directory")
TREE, RELEASES = shared("reaper_tree"), shared("reaper_releases")


def archive(program: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("bin/ollama")
        info.size, info.mode = len(program), 0o755
        tar.addfile(info, io.BytesIO(program))
    return out.getvalue()


GOOD, EVIL = archive(b"#!/bin/sh\necho good\n"), archive(b"#!/bin/sh\necho evil, as root\n")


def install(dest: Path, path: Path) -> Any:
    row = {"name": "ollama.tgz", "path": str(path), "sha256": hashlib.sha256(GOOD).hexdigest(), "proof": "user"}
    row |= {"url": None, "checksum_url": None, "source": None}
    link = str(dest / "current")
    params = {"version": "1.0.0", "archives": [row], "dest": str(dest), "link": link, "keep": 1, "proxy": None}
    return RELEASE.bring(params, str(dest / "1.0.0"), "1.0.0", "1.0.0", [])


def swap(path: Path, how: str) -> None:
    """What a local user does with a file of his own when he sees that it was read once."""
    if how == "in place":
        path.write_bytes(EVIL)
    elif how == "another file":
        path.unlink()
        path.write_bytes(EVIL)
    else:
        path.unlink()
        path.symlink_to(path.parent / "evil.tgz")


@pytest.mark.parametrize("how", ["in place", "another file", "link"])
@pytest.mark.parametrize("owner", [0, LESSER])
def test_what_was_hashed_is_what_is_installed(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, how: str, owner: int
) -> None:
    path, dest, hashed = ground.home / "ollama.tgz", ground.home.parent / "opt", RELEASE.digest
    path.write_bytes(GOOD)
    os.chown(path, owner, owner)
    (ground.home / "evil.tgz").write_bytes(EVIL)

    def digest(file: Any) -> str:
        found: str = hashed(file)
        swap(path, how)
        return found

    monkeypatch.setattr(RELEASE, "digest", digest)
    install(dest, path)
    assert b"good" in (dest / "current/bin/ollama").read_bytes()
    assert sorted(os.listdir(dest)) == ["1.0.0", "current"]


@pytest.mark.parametrize("place", ["home", "below home", "linked"])
def test_no_release_is_installed_where_others_can_change_it(ground: Ground, place: str) -> None:
    dest = {"home": ground.home, "below home": ground.home / "opt", "linked": ground.home / "opt"}[place]
    if place == "linked":
        ground.link("opt", ground.victim)
    with pytest.raises((RELEASE.Trouble, TREE.Refused), match=r"other users can change|is a link of user"):
        install(dest, ground.home / "none")


@pytest.mark.parametrize("kind", ["link", "theirs", "below theirs"])
def test_a_place_for_archives_is_roots_alone(ground: Ground, kind: str) -> None:
    place = {"link": ground.home / "l", "theirs": ground.home, "below theirs": ground.home / "new"}[kind]
    if kind == "link":
        ground.link("l", ground.victim)
    params = {"path": str(place), "owner": "", "group": "", "mode": "0755", "recurse": False, "within": None}
    with pytest.raises((OWNED.Trouble, TREE.Refused)):
        OWNED.step({**params, "private": True}, False)


def test_a_place_for_archives_can_be_entered_by_nobody_else_and_is_empty(ground: Ground) -> None:
    place = ground.home.parent / "opt/.incoming"
    place.mkdir(parents=True, mode=0o755)
    (place / "left-by-a-kill.tgz").write_bytes(EVIL)
    params = {"path": str(place), "owner": "", "group": "", "mode": "0755", "recurse": False, "within": None}
    OWNED.step({**params, "private": True}, False)
    assert oct(place.stat().st_mode & 0o7777) == "0o700"
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("content", [EVIL, GOOD[:50], b""], ids=["evil", "cut", "empty"])
def test_what_is_refused_leaves_nothing_behind(ground: Ground, content: bytes) -> None:
    dest = ground.home.parent / "opt"
    path = dest / ".incoming/ollama.tgz"
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(content)
    with pytest.raises(RELEASE.Trouble, match="SHA-256 is"):
        install(dest, path)
    assert os.listdir(dest) == []


def test_a_disk_that_is_too_small_leaves_nothing_behind(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    dest = ground.home.parent / "opt"
    path = dest / ".incoming/ollama.tgz"
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(GOOD)
    monkeypatch.setattr(RELEASE, "UNPACKED_FACTOR", 1 << 50)
    with pytest.raises(RELEASE.Trouble, match="are free"):
        install(dest, path)
    assert os.listdir(dest) == []


def test_down_clears_what_a_killed_controller_left(ground: Ground) -> None:
    dest = ground.home.parent / "opt"
    (dest / ".incoming").mkdir(parents=True, mode=0o700)
    (dest / ".incoming/ollama.tgz").write_bytes(EVIL)
    params = {"dest": str(dest), "version": None, "link": str(dest / "current")}
    assert RELEASES.absent(params, True)["changed"]
    RELEASES.absent(params, False)
    assert not dest.exists()


@pytest.mark.parametrize(
    ("runtime", "place"),
    [("systemd", "/opt/ollama/.incoming/"), ("process", "/home/u/.local/share/reaper_ops/ollama/releases/.incoming/")],
)
def test_archives_of_the_controller_go_where_nobody_else_can_enter(runtime: str, place: str) -> None:
    wanted, problems = settings.parse(
        "h1", {"ollama_runtime": runtime, "ollama_release_url": "/srv/releases", "ollama_release_sha256": "a" * 64}
    )
    assert wanted is not None, problems
    rows = desired_state.derive(wanted, Facts("h1", System(home="/home/u", arch="x86_64"))).archives()
    assert rows
    assert all(row["path"] == place + row["name"] for row in rows)
