"""reaper_manifest: what is recorded, what was there before, what survives a merge."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "manifest.json"


def test_intended_then_done_is_idempotent(module: Any, path: Path) -> None:
    entries = {"files": {"/etc/ours": None}, "units": ["ollama.service"], "links": {"/usr/bin/x": "/opt/x"}}
    module.predicted(path=str(path), phase="intended", entries=entries)
    assert json.loads(path.read_text())["state"] == "intended"
    done = module.predicted(path=str(path), phase="done", entries={"files": {"/etc/ours": "a" * 64}})
    assert done["changed"]
    assert done["manifest"]["state"] == "done"
    assert done["manifest"]["files"] == {"/etc/ours": "a" * 64}
    assert done["manifest"]["units"] == ["ollama.service"]
    assert oct(path.stat().st_mode & 0o777) == "0o644"


def test_merge_keeps_hashes_and_order(module: Any, path: Path) -> None:
    module(path=str(path), entries={"files": {"/a": "1" * 64}, "models": ["/m", "/n"]})
    after = module(path=str(path), entries={"files": {"/a": None, "/b": None}, "models": ["/o", "/m"]})
    assert after["manifest"]["files"] == {"/a": "1" * 64, "/b": None}
    assert after["manifest"]["models"] == ["/m", "/n", "/o"]
    assert not module(path=str(path), entries={"models": ["/n"]})["changed"]


def test_what_was_there_before_is_noted_once(module: Any, path: Path, tmp_path: Path) -> None:
    foreign, ours, folder, link = (tmp_path / name for name in ("foreign", "ours", "folder", "link"))
    foreign.write_text("somebody's")
    ours.write_text("# Managed by reaper_ops")
    folder.mkdir()
    os.symlink("/elsewhere", link)
    entries = {
        "files": {str(foreign): "0" * 64, str(ours): "0" * 64, str(tmp_path / "new"): "0" * 64},
        "directories": [str(folder), str(tmp_path / "later")],
        "links": {str(link): "/opt/x"},
        "users": ["root", "nosuchuser"],
    }
    said = module.predicted(path=str(path), phase="intended", entries=entries)["manifest"]["existed"]
    assert said == [f"directories {folder}", f"files {foreign}", f"links {link}", "users root"]
    (tmp_path / "new").write_text("written now")
    again = module(path=str(path), phase="done", entries=entries)["manifest"]["existed"]
    assert again == said


def test_models_that_an_earlier_down_left_do_not_count(module: Any, path: Path, tmp_path: Path) -> None:
    blob = tmp_path / "state" / "models" / "blobs" / "sha256-x"
    blob.parent.mkdir(parents=True)
    blob.write_text("x")
    entries = {"state": [str(tmp_path / "state")], "models": [str(tmp_path / "state" / "models")]}
    assert module(path=str(tmp_path / "m.json"), entries=entries)["manifest"]["existed"] == []


def test_json_keys_are_recorded_with_their_values(module: Any, path: Path, tmp_path: Path) -> None:
    daemon = tmp_path / "daemon.json"
    daemon.write_text('{"features": {"cdi": true}}')
    entries = {"json": {str(daemon): ["features/cdi", "runtimes/nvidia"]}}
    module(path=str(path), phase="intended", entries=entries)
    daemon.write_text('{"features": {"cdi": true}, "runtimes": {"nvidia": {"path": "x"}}}')
    done = module(path=str(path), phase="done", entries=entries)["manifest"]
    assert done["existed"] == [f"json {daemon} features/cdi", f"jsonfile {daemon}"]
    assert done["json_values"][str(daemon)]["runtimes/nvidia"] == {"path": "x"}


@pytest.fixture
def dpkg(tmp_path: Path) -> dict[str, str]:
    """An environment in which `packages` and `automatic` in tmp_path are what dpkg and apt say."""
    for program, file in (("dpkg-query", "packages"), ("apt-mark", "automatic")):
        place = tmp_path / "bin" / program
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\ncat {tmp_path}/{file}\n")
        place.chmod(0o755)
    return {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}


def test_dependencies_that_came_along_are_ours(module: Any, path: Path, tmp_path: Path, dpkg: dict[str, str]) -> None:
    (tmp_path / "packages").write_text("ii  bash\nrc  old\n")
    module(path=str(path), phase="intended", entries={"packages": ["docker.io"]}, env=dpkg)
    (tmp_path / "packages").write_text("ii  bash\nii  docker.io\nii  runc:amd64\nii  by-hand\n")
    (tmp_path / "automatic").write_text("runc:amd64\nbash\n")
    done = module(path=str(path), phase="done", entries={"packages": ["docker.io"]}, env=dpkg)["manifest"]
    assert done["packages"] == ["docker.io", "runc"]
    assert "snapshot" not in json.loads(path.read_text())


def test_a_package_that_was_there_is_never_ours(module: Any, path: Path, tmp_path: Path, dpkg: dict[str, str]) -> None:
    """Also when the plan thought that it was missing, since dpkg had not answered in time."""
    (tmp_path / "packages").write_text("ii  ca-certificates\n")
    entries = {"packages": ["ca-certificates", "zstd"]}
    noted = module(path=str(path), phase="intended", entries=entries, env=dpkg)["manifest"]
    assert noted["existed"] == ["packages ca-certificates"]


def test_nothing_is_noted_while_no_package_tool_answers(module: Any, path: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    said = module.fails(path=str(path), entries={"packages": ["zstd"]}, env={"PATH": str(tmp_path / "bin")})
    assert "neither dpkg nor rpm" in said
    assert not path.exists()


def test_a_hash_is_known_until_the_file_is_written_anew(module: Any, path: Path) -> None:
    module(path=str(path), entries={"files": {"/a": "1" * 64}})
    half = module(path=str(path), phase="intended", entries={"files": {"/a": "2" * 64}})["manifest"]
    assert (half["files"], half["former"]) == ({"/a": "2" * 64}, {"/a": ["1" * 64]})
    done = module(path=str(path), phase="done", entries={"files": {"/a": "2" * 64}})["manifest"]
    assert "former" not in done


@pytest.mark.parametrize("entries", [{"fiels": {}}, {"files": []}, {"units": {}}])
def test_wrong_entries_are_refused(module: Any, path: Path, entries: Any) -> None:
    assert "entries:" in module.fails(path=str(path), entries=entries)
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_damaged_manifest_is_not_overwritten(module: Any, path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert "is not a manifest" in module.fails(path=str(path), entries={"units": ["x"]})
    assert path.read_text() == text


def test_read_changes_nothing(module: Any, path: Path) -> None:
    assert module(path=str(path), state="read") | {"invocation": None} == {
        "changed": False,
        "manifest": {},
        "diff": {"before": "", "after": "{}\n"},
        "invocation": None,
    }
