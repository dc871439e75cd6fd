"""The mirror's user owns what root reads, tidies and empties: `mirror up`, `status`, `gc` and `down` stay in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from security.conftest import LESSER, SECRET, Ground, library

STORE, OWNED = library("mirror_store"), library("owned_directory")
PLACES = ("cache", "own", "log", "tmp", "run", "sockets")


def do(ground: Ground, state: str, **more: Any) -> Any:
    paths = {name: str(ground.home / name) for name in PLACES} | {"data": str(ground.home)}
    params = {"paths": paths, "state": state, "keep": None, "verify": False, "own": False, **more}
    return STORE.step(params, False)


def make(ground: Ground, *names: str) -> None:
    for name in names:
        (ground.home / name).mkdir(parents=True, exist_ok=True)
    ground.theirs()


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STORE.reaper_mirror, "LOG_LIMIT", 1000)


def big(path: Path) -> None:
    path.write_text("{}\n" * 400)


@pytest.mark.parametrize("kind", ["link", "hard", "fifo"])
def test_gc_truncates_no_file_but_the_logs(ground: Ground, kind: str) -> None:
    make(ground, "cache", "log")
    big(ground.home / "log/lan.log")
    wan = ground.home / "log/wan.log"
    if kind == "link":
        ground.link("log/wan.log", ground.victim / "shadow")
    elif kind == "hard":
        os.link(ground.victim / "shadow", wan)
    else:
        os.mkfifo(wan)
    with pytest.raises(OSError, match=r"is not a regular file|is a link of user|hard link"):
        do(ground, "collected")
    assert (ground.home / "log/lan.log").stat().st_size > 0


@pytest.mark.parametrize("kind", ["link", "hard"])
def test_gc_writes_its_sums_through_no_laid_name(ground: Ground, kind: str) -> None:
    make(ground, "cache", "log")
    big(ground.home / "log/lan.log")
    for name in ("totals.json", f"totals.json.tmp-{os.getpid()}"):
        if kind == "link":
            ground.link(Path("log") / name, ground.victim / "shadow")
        else:
            os.link(ground.victim / "shadow", ground.home / "log" / name)
    assert do(ground, "collected")["folded"]
    assert set(json.loads((ground.home / "log/totals.json").read_text())) >= {"requests", "wan_bytes"}


@pytest.mark.parametrize("kind", ["link", "hard", "directory"])
def test_status_shows_no_text_of_a_file_of_root(ground: Ground, kind: str) -> None:
    tag = "own/docker/registry/v2/repositories/own/m/_manifests/tags/T/current"
    if kind == "directory":
        ground.link(tag, ground.victim / "x")
    else:
        make(ground, tag)
        place = ground.home / tag / "link"
        ground.link(place, ground.victim / "shadow") if kind == "link" else os.link(ground.victim / "shadow", place)
    told = json.dumps(do(ground, "read"))
    assert SECRET not in told
    assert json.loads(told)["store"]["own"] == {}


def test_status_shows_as_digest_only_what_is_one(ground: Ground) -> None:
    for tag, text in (("good", "sha256:" + "a" * 64), ("bad", SECRET), ("long", "sha256:" + "a" * 65)):
        make(ground, f"own/repositories/own/m/_manifests/tags/{tag}/current")
        (ground.home / f"own/repositories/own/m/_manifests/tags/{tag}/current/link").write_text(text)
    assert do(ground, "read")["store"]["own"] == {"own/m:good": "sha256:" + "a" * 64}


@pytest.mark.parametrize(
    ("place", "state"),
    [("cache", "read"), ("own", "read"), ("log", "read"), ("cache", "collected"), ("log", "collected")],
)
def test_a_place_that_is_a_link_is_refused(ground: Ground, place: str, state: str) -> None:
    make(ground, *(name for name in PLACES if name != place))
    ground.link(place, ground.victim)
    with pytest.raises(STORE.Refused, match="is a link of user"):
        do(ground, state)


def test_a_fifo_in_the_cache_does_not_hang(ground: Ground) -> None:
    make(ground, "cache", "own", "log")
    for name in ("cache/pipe", "own/pipe", "log/lan.log"):
        os.mkfifo(ground.home / name)
    with pytest.raises(OSError, match="is not a regular file"):
        do(ground, "read")
    (ground.home / "log/lan.log").unlink()
    assert do(ground, "read")["store"]["blobs"] == {}


@pytest.mark.parametrize("own", [True, False])
def test_down_empties_no_directory_that_a_link_leads_to(ground: Ground, own: bool) -> None:
    make(ground, "cache/a", "own")
    ground.link("cache/a/b", ground.victim)
    for name in ("log", "tmp", "run", "sockets"):
        ground.link(name, ground.victim)
    cleared = do(ground, "cleared", own=own)["cleared"]
    assert str(ground.home / "log") in cleared
    assert not os.path.lexists(ground.home / "log")
    assert not (ground.home / "cache").exists()


@pytest.mark.parametrize("place", ["temporary", "cache", "log"])
def test_up_gives_no_directory_away_through_a_link(ground: Ground, place: str) -> None:
    ground.link(place, ground.victim)
    params = {"path": str(ground.home / place), "owner": str(LESSER), "group": "", "mode": "0755", "recurse": False}
    with pytest.raises(STORE.Refused, match="is a link of user"):
        OWNED.step({**params, "within": None}, False)
