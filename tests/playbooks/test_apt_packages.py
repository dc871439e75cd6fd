"""apt itself, with directories and archives of the test alone: a source that is broken stops nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reaper_ops import assets

PLAYBOOKS = assets.collection()
GONE = "http://127.0.0.1:9/third"
pytestmark = pytest.mark.skipif(not shutil.which("apt-get"), reason="needs apt")

Install = Callable[..., dict[str, Any]]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Installs nothing for real: apt only says what it would do, and dpkg's own list is empty."""
    parts, state, cache = tmp_path / "sources.list.d", tmp_path / "state", tmp_path / "cache"
    for directory in (parts, state / "lists/partial", cache / "archives/partial", tmp_path / "archive"):
        directory.mkdir(parents=True)
    (tmp_path / "dpkg").mkdir()
    (tmp_path / "dpkg/status").write_text("")
    package = "Package: wanted\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\n"
    sums = f"Filename: ./wanted.deb\nSize: 1\nSHA256: {'0' * 64}\n"
    (tmp_path / "archive/Packages").write_text(package + sums)
    (parts / "works.list").write_text(f"deb [trusted=yes] file:{tmp_path}/archive ./\n")
    options = [f"Dir::Etc::sourceparts={parts}", "Dir::Etc::sourcelist=/dev/null", "APT::Sandbox::User="]
    options += [f"Dir::State={state}", f"Dir::Cache={cache}", f"Dir::State::status={tmp_path}/dpkg/status"]
    options += ["APT::Get::Simulate=1", "Debug::NoLocking=1", "Acquire::Retries=0"]

    def call(*names: str, check: bool = False, max_age: int = 0) -> dict[str, Any]:
        arguments = {"names": list(names), "options": options, "max_age": max_age, "_ansible_check_mode": check}
        code = (
            "import json, runpy, sys; from ansible.module_utils import basic\n"
            f"sys.path.append({str(assets.collections())!r})\n"
            "basic._ANSIBLE_ARGS = sys.stdin.buffer.read(); basic._ANSIBLE_PROFILE = 'legacy'\n"
            f"runpy.run_path({str(PLAYBOOKS / 'plugins/modules/apt_packages.py')!r}, run_name='__main__')"
        )
        given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
        done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return call


def broken(tmp_path: Path) -> Path:
    path = tmp_path / "sources.list.d/third.list"
    path.write_text(f"deb [trusted=yes] {GONE} stable main\n")
    return path


def test_a_broken_source_of_somebody_else_stops_nothing(install: Install, tmp_path: Path) -> None:
    broken(tmp_path)
    found = install("wanted")
    assert found["changed"], found
    (source,) = found["broken"]
    assert source.startswith(GONE)


def test_what_cannot_be_installed_names_the_source_that_did_not_answer(install: Install, tmp_path: Path) -> None:
    broken(tmp_path)
    found = install("absent-here")
    assert found["failed"], found
    assert "absent-here cannot be installed: Unable to locate package absent-here" in found["msg"]
    assert GONE in found["msg"]
    assert "repair or remove the source" in found["next_step"]


def test_lists_that_look_fresh_and_hold_nothing_are_fetched_once(install: Install, tmp_path: Path) -> None:
    assert install("wanted", max_age=10**9)["changed"]


def test_the_broken_source_is_named_also_where_the_lists_looked_fresh(install: Install, tmp_path: Path) -> None:
    path = broken(tmp_path)
    found = install("absent-here", max_age=10**9)
    assert found["failed"]
    assert GONE in found["msg"], found
    assert found["broken"], path


def test_without_a_broken_source_none_is_blamed(install: Install) -> None:
    found = install("absent-here")
    assert found["msg"] == "absent-here cannot be installed: Unable to locate package absent-here"
    assert "apt-get install absent-here" in found["next_step"]


def test_sources_that_apt_cannot_read_are_told_at_once(install: Install, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d/other.list").write_text("deb nonsense\n")
    found = install("wanted")
    assert "apt cannot fetch its lists: Malformed entry 1 in list file" in found["msg"]
    assert "apt-get update" in found["next_step"]


def test_what_is_there_is_not_asked_for(install: Install, tmp_path: Path) -> None:
    fields = "Package: wanted\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
    (tmp_path / "dpkg/status").write_text(fields + "Maintainer: A <a@example.org>\nDescription: x\n")
    (tmp_path / "sources.list.d/other.list").write_text("deb nonsense\n")
    assert install("wanted") == {"changed": False, "broken": [], "invocation": install("wanted")["invocation"]}


def test_a_prediction_asks_nobody(install: Install, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d/other.list").write_text("deb nonsense\n")
    assert install("wanted", check=True)["changed"]
