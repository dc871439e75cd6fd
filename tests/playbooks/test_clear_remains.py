"""What Ansible left on a host when its controller was killed goes; what a process that lives made stays."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .test_background_work import AROUND, plugin

OURS, OTHER = "reaper_ops-0123456789ab", "reaper_ops-ba9876543210"


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = tmp_path / ".ansible/tmp"
    found.mkdir(parents=True)
    return found


@pytest.fixture
def dead() -> int:
    """A process that has ended."""
    with subprocess.Popen(["true"]) as program:
        program.wait()
    return program.pid


def put(place: Path, age: float = 0) -> Path:
    place.mkdir(parents=True)
    (place / "source").write_text("x")
    os.utime(place, (time.time() - age,) * 2)
    return place


def cleared(remote_tmp: str = f"~/.ansible/tmp/{OURS}", *, check: bool = False, **args: Any) -> tuple[Any, list[bool]]:
    """What the plugin answers, and for each command whether it was given to sudo."""
    module, as_root = plugin("clear_remains"), []
    action = module.ActionModule.__new__(module.ActionModule)

    def execute(command: str, sudoable: bool = True) -> dict[str, Any]:
        as_root.append(sudoable)
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        return {"rc": done.returncode, "stdout": (AROUND + done.stdout).replace("\n", "\r\n"), "stderr": done.stderr}

    action._low_level_execute_command = execute
    action._task = SimpleNamespace(args=args, check_mode=check)
    action._connection = SimpleNamespace()
    action.get_shell_option = lambda _name, _default=None: remote_tmp
    module.ActionBase.run, before = lambda *_words: {}, module.ActionBase.run
    try:
        return action.run(), as_root
    finally:
        module.ActionBase.run = before


def test_what_a_process_left_that_has_ended_goes(top: Path, dead: int) -> None:
    gone = put(top / OURS / f"ansible-tmp-1764222000.12-{dead}-281474976710655")
    live = put(top / OURS / f"ansible-tmp-1764222000.12-{os.getpid()}-5")
    answer, as_root = cleared()
    assert answer["removed"] == [f"{OURS}/{gone.name}"]
    assert not gone.exists()
    assert live.exists()
    assert as_root == [False, False]
    assert cleared()[0]["removed"] == []


def test_of_another_controller_only_what_is_old_goes(top: Path, dead: int) -> None:
    name = f"ansible-tmp-1764222000.12-{dead}-5"
    young = put(top / OTHER / name, age=3600)
    old = put(top / OTHER / f"{name}1", age=2 * 86400)
    empty = top / "reaper_ops-0000000000aa"
    empty.mkdir()
    os.utime(empty, (time.time() - 2 * 86400,) * 2)
    assert cleared()[0]["removed"] == [f"{OTHER}/{old.name}"]
    assert young.exists()
    assert not old.exists()
    assert not empty.exists()


def test_what_is_not_ours_stays(top: Path, tmp_path: Path, dead: int) -> None:
    name = f"ansible-tmp-1764222000.12-{dead}-5"
    theirs = [put(top / name, age=2 * 86400), put(top / OURS / "notes"), put(top / OURS / f"{name} x")]
    target = put(tmp_path / "target")
    (top / OURS / f"{name}7").symlink_to(target)
    cleared()
    assert all(path.exists() for path in theirs)
    assert (target / "source").exists()


@pytest.mark.parametrize("place", ["~/.ansible/tmp", "/var/tmp/mine", "~/.ansible/tmp/reaper_ops-0123456789ab/x"])
def test_a_place_that_the_user_chose_is_the_users(top: Path, dead: int, place: str) -> None:
    left = put(top / OURS / f"ansible-tmp-1764222000.12-{dead}-5")
    assert cleared(place) == ({"changed": False, "removed": []}, [])
    assert left.exists()


def test_check_mode_touches_nothing(top: Path, dead: int) -> None:
    left = put(top / OURS / f"ansible-tmp-1764222000.12-{dead}-5")
    assert cleared(check=True)[1] == []
    assert left.exists()


def test_nothing_is_left_when_nobody_comes_after(top: Path, dead: int) -> None:
    put(top / OURS / f"ansible-tmp-1764222000.12-{dead}-5")
    cleared(all=True)
    assert list(top.iterdir()) == []


def test_a_host_without_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cleared(all=True)[0]["removed"] == []
