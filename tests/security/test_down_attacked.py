"""`down` removes what is ours: by no link of the service's user, and no mount, what is root's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from security.conftest import LESSER, Ground, library, shared

UNINSTALL = library("reaper_uninstall")
OWNERSHIP, REMOVAL = shared("reaper_ownership"), shared("reaper_removal")


def down(ground: Ground, *, check: bool = False, purge: bool = False, **manifest: Any) -> Any:
    path = ground.home.parent / "state/manifest.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"schema": 1, "state": "done", **manifest}))
    read = OWNERSHIP.read(str(path))
    removal = REMOVAL.Removal(read, str(path), check, purge, False)
    removal.run()
    UNINSTALL.finish(str(path), read, removal)
    return removal


@pytest.mark.parametrize("existed", [True, False])
def test_a_linked_dot_ollama_is_kept_and_said_and_nothing_beneath_it_is_touched(ground: Ground, existed: bool) -> None:
    home = str(ground.home)
    ground.link(".ollama", ground.victim)
    done = down(ground, homes=[home], existed=[f"homes {home}"] if existed else [], models=[str(ground.store)])
    assert not any("victim" in line or "id_ed25519" in line for line in done.removed)
    assert any("links are not followed" in line for line in done.kept) or not existed
    assert (ground.home / ".ollama").is_symlink()


@pytest.mark.parametrize("check", [True, False])
def test_what_the_server_wrote_into_a_home_that_was_there_is_removed_and_said(ground: Ground, check: bool) -> None:
    home = ground.home
    for name in ("id_ed25519", "id_ed25519.pub", "logs/server.log"):
        (home / ".ollama" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / ".ollama" / name).write_text("x")
    done = down(ground, check=check, homes=[str(home)], existed=[f"homes {home}"])
    assert done.removed == [f"file {home}/.ollama/{name}" for name in ("id_ed25519", "id_ed25519.pub", "logs")]
    assert (home / ".ollama").exists() == check


@pytest.mark.parametrize("part", ["blobs", "manifests", "models", "manifests/registry.ollama.ai"])
def test_purging_models_goes_through_no_link(ground: Ground, part: str) -> None:
    path = ground.home if part == "models" else ground.store
    os.rename(path / part, ground.home.parent / "before")
    ground.link((path / part).relative_to(ground.home), ground.victim)
    home = str(ground.home)
    down(ground, purge=True, models=[str(ground.store)], homes=[home], directories=[str(ground.store)])


def test_links_in_what_the_server_writes_are_removed_and_not_followed(ground: Ground) -> None:
    ground.link(".ollama/logs", ground.victim / "logs")
    ground.link(".ollama/history", ground.victim / "shadow")
    os.link(ground.victim / "shadow", ground.home / ".ollama/server.json")
    done = down(ground, purge=True, models=[str(ground.store)], homes=[str(ground.home)])
    assert done.kept == []
    assert not ground.home.exists()


def test_files_that_became_a_fifo_or_a_link_neither_hang_nor_lead_away(ground: Ground) -> None:
    pipe, link = ground.home / "pipe", ground.link("spec.json", ground.victim / "shadow")
    os.mkfifo(pipe)
    done = down(ground, files={str(pipe): "f" * 64, str(link): "f" * 64}, processes=[str(pipe), str(link)])
    assert done.removed == []
    assert pipe.exists()
    assert link.is_symlink()


def test_a_deep_tree_is_kept_with_the_reason(ground: Ground) -> None:
    os.makedirs(ground.store / "blobs" / "/".join("d" * 90))
    done = down(ground, purge=True, models=[str(ground.store)], homes=[str(ground.home)])
    assert any("deeper than" in line for line in done.kept)


MOUNTED = """
import json, sys
from security.test_down_attacked import *
home, store = Path(sys.argv[1]) / "home", Path(sys.argv[1]) / "home/models"
ground = Ground(Path(sys.argv[1]) / "victim", home, {})
done = down(ground, purge=True, models=[str(store)], homes=[str(home)])
print(json.dumps(done.kept))
"""


def test_what_is_mounted_in_the_store_is_not_entered(ground: Ground) -> None:
    """A bind mount of the same file system has the same device number; only the mount tells it apart."""
    inner = ground.store / "blobs/mounted"
    inner.mkdir()
    os.chown(inner, LESSER, LESSER)
    tests = str(Path(__file__).resolve().parents[1])
    run = 'mount --make-rprivate / && mount --bind "$1" "$2" && PYTHONPATH="$3" exec "$4" -c "$5" "$6"'
    words = [str(ground.victim), str(inner), tests, __import__("sys").executable, MOUNTED, str(ground.home.parent)]
    done = subprocess.run(["unshare", "-m", "sh", "-c", run, "sh", *words], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr and "Operation not permitted" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert any("another file system is mounted there" in line for line in json.loads(done.stdout))
