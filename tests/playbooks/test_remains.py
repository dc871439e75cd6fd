"""What a killed controller leaves behind goes with the next `up` or `down`; what somebody still needs stays."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from reaper_ops import assets

from .conftest import PLAYBOOKS, Module

TOKEN, OTHER = ".reaper_ops-pull-0123456789abcdef", ".reaper_ops-pull-fedcba9876543210"
OLD = 1000


@pytest.fixture
def remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """With a directory of the test in place of /tmp, and a home of the test."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = importlib.import_module(f"{assets.MODULE_UTILS}.reaper_remains")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(found, "WATCHED", (str(tmp_path / "tmp"), found.WATCHED[1]))
    yield found
    for name in [name for name in sys.modules if name.startswith(f"{assets.MODULE_UTILS}.reaper_")]:
        del sys.modules[name]


def put(path: Path, age: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_nobody_touches_goes_and_nothing_else(remains: ModuleType, tmp_path: Path) -> None:
    jobs = tmp_path / "home/.ansible_async"
    ours = [tmp_path / "tmp" / f"{TOKEN}{end}" for end in ("", ".tmp", ".watched")] + [jobs / "reaper_ops/j12.34"]
    theirs = [jobs / "j12.34", tmp_path / "tmp/.reaper_ops-pull-x", tmp_path / "tmp" / f"{OTHER}x", tmp_path / "tmp/a"]
    for path in (*ours, *theirs):
        put(path)
    assert sorted(remains.clear()) == sorted(map(str, ours))
    assert [path.exists() for path in theirs] == [True] * len(theirs)
    assert not (jobs / "reaper_ops").exists()
    assert remains.clear() == []


def test_work_that_a_controller_follows_stays(remains: ModuleType, tmp_path: Path) -> None:
    live = put(tmp_path / "tmp" / f"{TOKEN}.watched", age=1)
    still = put(tmp_path / "tmp" / TOKEN)
    job = put(tmp_path / "home/.ansible_async/reaper_ops/j12.34")
    gone = put(tmp_path / "tmp" / f"{OTHER}.watched")
    assert remains.clear() == [str(gone)]
    assert live.exists()
    assert still.exists()
    assert job.exists()


def test_links_and_files_of_others_stay(remains: ModuleType, tmp_path: Path) -> None:
    target = put(tmp_path / "target")
    (tmp_path / "tmp" / TOKEN).symlink_to(target)
    (tmp_path / "tmp" / OTHER).mkdir()
    assert remains.clear() == []
    assert target.exists()
    if os.geteuid() == 0:
        os.chown(put(tmp_path / "tmp" / f"{OTHER}.watched"), 65534, 65534)
        assert remains.clear() == []


def test_up_and_down_clear_them(tmp_path: Path) -> None:
    job = tmp_path / ".ansible_async/reaper_ops/j1.2"
    manifest = str(tmp_path / "m/manifest.json")
    env = {"HOME": str(tmp_path)}
    put(job)
    Module("reaper_manifest")(path=manifest, phase="intended", entries={}, check=True, env=env)
    assert job.exists()
    assert goes(job, lambda: Module("reaper_manifest")(path=manifest, phase="intended", entries={}, env=env))
    put(job)
    assert goes(job, lambda: Module("reaper_uninstall")(path=manifest, env=env))


def goes(job: Path, run: Callable[[], object]) -> bool:
    """Also where a pull of another test is followed in the real /tmp meanwhile: then nothing is cleared yet."""
    for _ in range(90):
        run()
        if not job.exists():
            return True
        time.sleep(2)
    return False


def test_jobs_are_where_they_are_looked_for() -> None:
    text = (PLAYBOOKS / "plugins/action/ollama_pull.py").read_text()
    assert 'JOBS = "~/.ansible_async/reaper_ops"' in text
    assert '("~/.ansible_async/reaper_ops",' in (PLAYBOOKS / "plugins/module_utils/reaper_remains.py").read_text()
