"""store_quarantine: only files of the store, moved out and restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("blobs/sha256-aa", "manifests/r/l/m/t", "outside"):
        place = tmp_path / "models" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    return tmp_path / "models"


@pytest.mark.parametrize("name", ["blobs/sha256-aa", "manifests/r/l/m/t"])
def test_there_and_back_again(module: Any, store: Path, name: str) -> None:
    args = {"store": str(store), "path": str(store / name)}
    done = module.predicted(**args, state="quarantined")
    assert not (store / name).exists()
    assert Path(done["kept"]).read_text() == name
    assert not module(**args, state="quarantined")["changed"]
    module.predicted(**args, state="restored")
    assert (store / name).read_text() == name
    assert not (store / "set-aside").exists()


def test_an_entry_of_0_40_goes_as_the_link_that_it_is(module: Any, store: Path) -> None:
    entry = store / "manifests-v2/r/l/m/t"
    entry.parent.mkdir(parents=True)
    entry.symlink_to("../../../../blobs/sha256-aa")
    args = {"store": str(store), "path": str(entry)}
    module.predicted(**args, state="quarantined")
    assert (entry.is_symlink(), (store / "blobs/sha256-aa").read_text()) == (False, "blobs/sha256-aa")
    module.predicted(**args, state="restored")
    assert entry.read_text() == "blobs/sha256-aa"


def test_thrown_away(module: Any, store: Path) -> None:
    args = {"store": str(store), "path": str(store / "blobs/sha256-aa")}
    module(**args, state="quarantined")
    module.predicted(**args, state="discarded")
    assert not (store / "set-aside").exists()
    assert not (store / "blobs/sha256-aa").exists()


def test_all_parts_of_a_download(module: Any, store: Path) -> None:
    parts = [store / f"blobs/sha256-bb-partial{end}" for end in ("", "-0", "-1")]
    for part in parts:
        part.write_text("")
    args = {"store": str(store), "path": str(store / "blobs/sha256-bb-partial*")}
    module.predicted(**args, state="quarantined")
    assert not any(part.exists() for part in parts)
    assert (store / "blobs/sha256-aa").exists()
    module.predicted(**args, state="restored")
    assert all(part.exists() for part in parts)


def test_what_came_anew_is_not_overwritten(module: Any, store: Path) -> None:
    args = {"store": str(store), "path": str(store / "blobs/sha256-aa")}
    module(**args, state="quarantined")
    (store / "blobs/sha256-aa").write_text("pulled again")
    assert "exists again" in module.fails(**args, state="restored")
    assert (store / "blobs/sha256-aa").read_text() == "pulled again"


@pytest.mark.parametrize("name", ["outside", "blobs", "blobs/../outside", "../elsewhere", "blobs/link", "blobs/out/x"])
def test_nothing_else_is_touched(module: Any, store: Path, name: str) -> None:
    (store.parent / "elsewhere").write_text("foreign")
    (store / "blobs/link").symlink_to(store.parent / "elsewhere")
    (store / "blobs/out").symlink_to(store.parent)
    (store.parent / "x").write_text("foreign")
    assert "is not " in module.fails(store=str(store), path=str(store / name), state="quarantined")
    assert (store.parent / "elsewhere").read_text() == (store.parent / "x").read_text() == "foreign"
