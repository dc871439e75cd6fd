"""Facts, evidence and bundles: nothing that root alone may read comes out through a planted name, and nothing hangs."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from security.conftest import LESSER, SECRET, Ground, library, shared

READ = library("reaper_read")
STORES, HOST = shared("reaper_stores"), shared("reaper_host")


def answers(*asks: dict[str, Any]) -> Any:
    rows = [{"id": str(at), **ask} for at, ask in enumerate(asks)]
    return READ.answers({"root": None, "budget": 20.0, "asks": rows})


def plant(ground: Ground, kind: str, name: str) -> str:
    place = ground.home / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        ground.link(place, ground.victim / "shadow")
    elif kind == "hard":
        os.link(ground.victim / "shadow", place)
    else:
        os.mkfifo(place)
    ground.theirs()
    return str(place)


@pytest.mark.parametrize("kind", ["link", "hard", "fifo"])
def test_a_file_is_not_read_through_a_planted_name(ground: Ground, kind: str) -> None:
    path = plant(ground, kind, "ollama.log")
    found = answers({"kind": "file", "path": path, "tail": True}, {"kind": "drift", "path": path})
    assert SECRET not in json.dumps(found)
    assert "content" not in found["0"]
    if kind != "fifo":
        assert found["0"]["error"] in {
            f"is a link of user {LESSER}; links are not followed",
            "is a hard link to another user's file",
        }


@pytest.mark.parametrize("ask", ["file", "glob", "listdir"])
def test_a_directory_is_not_read_through_a_link(ground: Ground, ask: str) -> None:
    ground.link("logs", ground.victim)
    there = str(ground.home / "logs")
    (found,) = answers(
        {
            "file": {"kind": "file", "path": f"{there}/shadow"},
            "glob": {"kind": "glob", "patterns": [f"{there}/*", f"{there}/*/*"], "content": True},
            "listdir": {"kind": "listdir", "path": there},
        }[ask]
    ).values()
    told = json.dumps(found)
    assert SECRET not in told
    assert "audit.log" not in told
    assert "links are not followed" in told or ask == "file"


@pytest.mark.parametrize("kind", ["link", "hard", "fifo"])
@pytest.mark.parametrize("where", ["manifests/r/l/m/t", "blobs/sha256-cc"])
def test_a_store_shows_nothing_behind_a_planted_name(ground: Ground, kind: str, where: str) -> None:
    path = plant(ground, kind, f"models/{where}")
    text = answers({"kind": "stores", "path": str(ground.store), "others": []})["0"]["stdout"]
    assert SECRET not in text
    assert "layer" not in text
    assert path in text


@pytest.mark.parametrize("root", ["manifests", "manifests-v2"])
def test_a_store_shows_no_layers_of_another_users_document(ground: Ground, root: str) -> None:
    """It reads like a manifest, and the service's user only gave it a second name."""
    digest = "d" * 64
    document = ground.home.parent / "layers.json"
    document.write_text(json.dumps({"layers": [{"digest": f"sha256:{digest}", "size": 7}]}))
    place = ground.store / root / "r/l/m/t"
    place.parent.mkdir(parents=True)
    os.link(document, place)
    ground.theirs()
    found = answers(
        {"kind": "stores", "path": str(ground.store), "others": []},
        {"kind": "identities", "path": str(ground.store)},
    )
    assert digest not in json.dumps(found)


@pytest.mark.parametrize("room", ["manifests", "blobs", ""])
def test_a_store_with_a_linked_room_names_the_link_and_no_file_behind_it(ground: Ground, room: str) -> None:
    os.rename(ground.store / room, ground.home / "before")
    ground.link(f"models/{room}".rstrip("/"), ground.victim)
    text = answers({"kind": "stores", "path": str(ground.store), "others": [str(ground.home / "*")]})["0"]["stdout"]
    assert "links_are_not_followed" in text
    assert not any(name in text for name in ("sha256-aa", "r/l/m/t", "shadow"))


def test_a_program_that_the_service_can_replace_is_not_run_as_root(ground: Ground) -> None:
    ran = ground.home.parent / "ran-as-root"
    program = ground.home / "current/bin/ollama"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\nid -u > {ran}\necho client version is 9.9.9\n")
    program.chmod(0o755)
    ground.theirs()
    found = answers({"kind": "binaries", "name": "no-such-program", "places": [str(program)]})["0"]["stdout"]
    assert found == f"{program}\tnot run as root: other users can change it\n"
    assert not ran.exists()
    os.chown(program, 0, 0)
    assert "not run as root" in answers({"kind": "binaries", "name": "x", "places": [str(program)]})["0"]["stdout"]
    for path in (ground.home, ground.home / "current", program.parent):
        os.chown(path, 0, 0)
    assert "9.9.9" in answers({"kind": "binaries", "name": "x", "places": [str(program)]})["0"]["stdout"]


def test_what_the_admin_linked_is_read(ground: Ground) -> None:
    real = ground.home.parent / "disk"
    real.mkdir()
    (real / "app.log").write_text("by the admin\n")
    (ground.home.parent / "short").symlink_to(real)
    found = answers({"kind": "file", "path": str(ground.home.parent / "short/app.log")})["0"]
    assert found["content"] == "by the admin\n"


def test_system_files_behind_the_systems_own_links_are_read() -> None:
    found = answers({"kind": "file", "path": "/etc/os-release"}, {"kind": "file", "path": "/proc/self/comm"})
    assert "NAME=" in found["0"]["content"]
    assert found["1"]["content"]


def test_the_reader_as_one_program_has_all_its_parts() -> None:
    import subprocess
    import sys

    from reaper_ops.adapters import reader

    asks = [{"id": "a", "kind": "file", "path": "/etc/os-release"}]
    done = subprocess.run(
        [sys.executable, "-ES", "-"], input=reader.program(asks, ""), capture_output=True, text=True, check=True
    )
    told = reader.answers(done.stdout)
    assert told is not None
    assert "NAME=" in told["a"]["content"]


def test_a_server_names_no_store_that_it_may_not_enter_itself(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is its own to write: OLLAMA_MODELS=/root/... would have root list what lies there."""
    monkeypatch.setattr(STORES, "own_store", lambda *_: str(ground.victim))
    monkeypatch.setattr(STORES, "owner", lambda *_: (LESSER, [LESSER]))
    text = STORES.read_stores(None, {"path": str(ground.store), "others": []})["stdout"]
    assert "may_not_enter_it" in text
    assert "sha256-aa" not in text
    monkeypatch.setattr(STORES, "own_store", lambda *_: str(ground.store))
    assert "sha256-bb" in STORES.read_stores(None, {"path": "/elsewhere", "others": []})["stdout"]
