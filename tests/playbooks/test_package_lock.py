"""Who holds apt is told by name, the wait has an end, and an interrupted dpkg is no wait at all."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HOLD = """
import fcntl, sys

from reaper_ops import assets
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""
Module = Callable[..., dict[str, Any]]


@pytest.fixture
def look(module: Module, tmp_path: Path) -> Module:
    for name in ("dpkg/updates", "apt/lists"):
        (tmp_path / "var/lib" / name).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/lock-frontend").touch()
    (tmp_path / "var/lib/apt/lists/lock").touch()
    return lambda **more: module(root=str(tmp_path), **more)


@contextmanager
def held(lock: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = tmp_path / "unattended-upgrade"
    script.write_text(HOLD)
    with subprocess.Popen([sys.executable, script, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        yield program
        program.communicate()


@pytest.mark.parametrize("lock", ["dpkg/lock-frontend", "apt/lists/lock"])
def test_the_holder_is_named(look: Module, tmp_path: Path, lock: str) -> None:
    assert look()["holder"] == ""
    with held(tmp_path / "var/lib" / lock, tmp_path) as program:
        found = look()
        assert found["holder"] == f"unattended-upgrade (pid {program.pid})"
        assert found["pid"] == program.pid
    assert look()["holder"] == ""


def test_dpkg_that_was_interrupted(look: Module, tmp_path: Path) -> None:
    assert not look()["interrupted"]
    (tmp_path / "var/lib/dpkg/updates/0001").touch()
    assert look()["interrupted"]


def waited(monkeypatch: pytest.MonkeyPatch, looks: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    scope = importlib.import_module("ansible_collections.reaper_ops.ollama.plugins.action.package_lock")
    cls, told, clock = scope.ActionModule, [], iter(range(0, 6000, 60))
    monkeypatch.setattr(scope.ActionBase, "run", lambda *_words, **_more: {})
    monkeypatch.setattr(scope, "tell", lambda _host, text: told.append(text))
    monkeypatch.setattr(scope, "time", type("Clock", (), {"monotonic": lambda: next(clock), "sleep": lambda _s: None}))
    action = cls.__new__(cls)
    action._task = type("Task", (), {"args": {}})()
    answers = iter(looks)
    action._execute_module = lambda *_words, **_more: {"interrupted": False, **next(answers)}
    return action.run(task_vars={"inventory_hostname": "gpu1"}), told


def test_a_wait_tells_who_and_how_long_and_ends_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = {"holder": "unattended-upgrade (pid 7)"}
    result, told = waited(monkeypatch, [busy, busy, {"holder": ""}])
    assert not result.get("failed")
    assert told[0] == "waiting for unattended-upgrade (pid 7), which holds apt: 60 of 600 s"
    assert len(told) == 2


def test_a_wait_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    result, told = waited(monkeypatch, [{"holder": "aptd (pid 9)", "pid": 9}] * 50)
    assert result["failed"]
    assert result["msg"].startswith("aptd (pid 9) has held the lock of apt for 600 s")
    assert result["next_step"] == "`ps -fp 9` on the host shows what it is; run again once it has ended"
    assert len(told) < 12


def test_a_holder_outside_of_the_container_has_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = waited(monkeypatch, [{"holder": "a program outside this container", "pid": 0}] * 50)
    assert result["next_step"] == "run again once it has ended"


def test_an_interrupted_dpkg_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    result, told = waited(monkeypatch, [{"holder": "", "interrupted": True}])
    assert "dpkg --configure -a" in result["next_step"]
    assert told == []
