"""`ollama_runtime: process` by root in a directory of somebody else: root runs, writes and reads nothing there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from security.conftest import Ground, library

PROCESS = library("ollama_process")
STATES = ("started", "restarted", "stopped")


def spec(place: Path, **more: object) -> Path:
    row = {
        "argv": [str(place / "bin/ollama"), "serve"],
        "environment": {"OLLAMA_HOST": "127.0.0.1:1"},
        "log": str(place / "ollama.log"),
        "pid": str(place / "ollama.pid"),
        **more,
    }
    place.mkdir(exist_ok=True)
    (place / "env.json").write_text(json.dumps(row))
    return place / "env.json"


def act(path: Path, state: str) -> object:
    return PROCESS.step({"spec": str(path), "state": state, "stop_timeout": 1, "settle": 0.1}, False)


@pytest.mark.parametrize("state", STATES)
def test_a_home_of_somebody_else_is_refused(ground: Ground, state: str) -> None:
    """Its log is a link to a file of root, big enough to be moved away; its program is the other user's."""
    path = spec(ground.home, argv=["/bin/sh", "-c", f"echo won > {ground.victim}/won"])
    os.truncate(ground.link("big", "shadow").parent / "models/blobs/sha256-bb", 11 << 20)
    ground.link("ollama.log", ground.victim / "shadow")
    ground.link("ollama.pid", ground.victim / "id_ed25519")
    with pytest.raises(PROCESS.Trouble, match=r"a user other than root can change .*so nothing there runs as root"):
        act(path, state)
    assert (ground.home / "ollama.log").is_symlink()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("what", ["program", "log", "pid"])
def test_what_root_s_own_settings_name_there_is_refused(ground: Ground, what: str, state: str) -> None:
    log = ground.home / "logs/ollama.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (11 << 20))
    ground.theirs()
    names = {"program": {"argv": [str(ground.home / "ollama")]}, "log": {"log": str(log)}}
    own = spec(ground.victim.parent / "own", **names.get(what, {"pid": str(ground.home / "ollama.pid")}))
    with pytest.raises(PROCESS.Trouble, match=str(ground.home)):
        act(own, state)
    assert not log.with_suffix(".log.1").exists()


@pytest.mark.parametrize("place", ["sticky", "own"])
def test_root_s_own_place_is_as_before(ground: Ground, place: str) -> None:
    """Also below one like /tmp."""
    top = ground.victim.parent / "tmp"
    top.mkdir()
    top.chmod(0o1777 if place == "sticky" else 0o755)
    path = spec(top / "own")
    with pytest.raises(PROCESS.Trouble, match="cannot be started: No such file"):
        act(path, "started")
