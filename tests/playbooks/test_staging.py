"""A store that is root's own: what the unprivileged downloader leaves is copied, hashed, and only then placed."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from pathlib import Path

import pytest

from reaper_ops import assets
from tests import modern_store

DATA = b"weights" * 1000
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs others")


@pytest.fixture
def staging(tmp_path, monkeypatch):
    return importlib.import_module("ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_staging")


@pytest.fixture
def made(staging, tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "QUARTERS", str(tmp_path / "quarters/swarm"))
    (tmp_path / "models").mkdir()
    found = staging.Staging(str(tmp_path / "models"))
    found.make()
    return found


def placed(made):
    return [path.name for path in Path(made.models_dir).rglob("*") if path.is_file()]


def test_the_guest_works_where_he_comes_through(staging, made, tmp_path):
    """pytest's own directory is closed to others, as /var/lib/docker is."""
    assert made.path.startswith(f"{tmp_path}/quarters/swarm-")
    assert made.path != staging.quarters(str(tmp_path), "work"), "a seed and a host on one machine do not meet"
    assert os.stat(made.path).st_uid == staging.GUEST[0]
    assert os.stat(made.path).st_mode & 0o777 == 0o700
    assert os.stat(tmp_path / "quarters").st_mode & 0o011
    assert staging.quarters("/srv", ".reaper") == "/srv/.reaper"


def test_the_right_bytes_are_placed_as_a_copy(made):
    Path(made.at(DIGEST)).write_bytes(DATA)
    assert made.take(DIGEST)
    [name] = placed(made)
    blob = Path(made.models_dir, "blobs", name)
    assert (blob.read_bytes(), blob.stat().st_uid, blob.stat().st_nlink) == (DATA, 0, 1)
    Path(made.at(DIGEST)).write_bytes(b"changed afterwards")
    assert blob.read_bytes() == DATA
    made.leave()
    assert not Path(made.path).exists()


def test_wrong_bytes_links_and_pipes_are_not_placed(made, staging, tmp_path):
    path, secret = Path(made.at(DIGEST)), tmp_path / "secret"
    path.write_bytes(DATA[:-1])
    assert not made.take(DIGEST)
    path.unlink()
    secret.write_bytes(DATA)
    path.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic"):
        made.take(DIGEST)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(staging.Trouble, match="regular"):
        made.take(DIGEST)
    assert placed(made) == []


def test_a_manifest_is_put_where_a_server_of_0_40_reads_it_and_where_an_older_one_does(made):
    store = Path(made.models_dir)
    before = modern_store.migrated(store)
    listed = before.entry.read_bytes()
    made.put_manifest("tiny", DATA)
    old = store / "manifests/registry.ollama.ai/library/tiny/latest"
    assert (before.entry.is_symlink(), before.entry.read_bytes(), old.read_bytes()) == (False, DATA, DATA)
    assert modern_store.path_of(store, before.listed).read_bytes() == listed


def test_what_another_left_in_the_place_goes(made):
    Path(made.path, "aria2.conf").write_text("on-download-complete=/tmp/x")
    Path(made.path, "log").symlink_to("/etc/shadow")
    made.make()
    assert os.listdir(made.path) == []


def test_a_seed_in_a_home_that_is_closed_to_others_begins(staging, tmp_path, monkeypatch):
    """As root's own is: whoever works for it cannot look at the way to it."""
    monkeypatch.setattr(staging, "QUARTERS", str(tmp_path / "quarters/swarm"))
    path = assets.collection("plugins/modules/ollama_seed.py")
    spec = importlib.util.spec_from_file_location("tried_ollama_seed", path)
    seed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seed)
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    here, user = seed.readied(str(closed / ".cache/swarm"))
    assert here.startswith(f"{tmp_path}/quarters/swarm-")
    assert user == staging.GUEST
    with seed.acting_as(user):
        seed.begun({"dir": str(closed / ".cache/swarm"), "owner": "x"}, here)
