"""ollama_process with real processes: detached, found again, stopped with its children."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER = """#!%s
import os, signal, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"])
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    def end(*_):
        child.terminate()
        child.wait()
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
print("child", child.pid, flush=True)
while True:
    time.sleep(1)
"""


@pytest.fixture
def home(tmp_path: Path, module: Any) -> Iterator[Path]:
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(SERVER % sys.executable)
    program.chmod(0o755)
    write(tmp_path)
    yield tmp_path
    module(spec=str(tmp_path / "env.json"), state="stopped", stop_timeout=1)


def write(home: Path, *arguments: str, config: str = "one", **more: Any) -> str:
    spec = {
        "argv": [str(home / "bin" / "ollama"), "serve", *arguments],
        "environment": {"OLLAMA_HOST": f"127.0.0.1:{home.name}", "REAPER_OPS_CONFIG": config},
        "log": str(home / "logs" / "ollama.log"),
        "pid": str(home / "ollama.pid"),
        **more,
    }
    (home / "env.json").write_text(json.dumps(spec))
    return str(home / "env.json")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def child_of(home: Path) -> int:
    log = home / "logs" / "ollama.log"
    while "child" not in (log.read_text() if log.exists() else ""):
        time.sleep(0.01)
    return int(log.read_text().split()[-1])


def test_starts_detached_and_is_found_again(module: Any, home: Path) -> None:
    done = module.predicted(spec=write(home))
    pid = done["pid"]
    assert alive(pid)
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1") == str(home / "logs" / "ollama.log")
    assert (home / "ollama.pid").read_text() == f"{pid}\n"
    assert b"REAPER_OPS_CONFIG=one" in Path(f"/proc/{pid}/environ").read_bytes()
    again = module(spec=str(home / "env.json"))
    assert not again["changed"]
    assert again["pid"] == pid


def test_stop_takes_the_children_along(module: Any, home: Path) -> None:
    pid = module(spec=write(home))["pid"]
    child = child_of(home)
    gone = module.predicted(spec=str(home / "env.json"), state="stopped")
    assert gone["changed"]
    assert not alive(pid)
    assert not alive(child)
    assert not list(home.glob("ollama.pid*"))


def test_stubborn_server_is_killed(module: Any, home: Path) -> None:
    pid = module(spec=write(home, "stubborn"))["pid"]
    child = child_of(home)
    module.predicted(spec=str(home / "env.json"), state="stopped", stop_timeout=1)
    assert not alive(pid)
    assert not alive(child)


def test_orphan_of_a_killed_server_is_removed_before_the_next_start(module: Any, home: Path) -> None:
    pid = module(spec=write(home))["pid"]
    child = child_of(home)
    os.kill(pid, signal.SIGKILL)
    while alive(pid) or Path(f"/proc/{pid}").exists():
        time.sleep(0.01)
    assert alive(child)
    new = module.predicted(spec=str(home / "env.json"))["pid"]
    assert new != pid
    assert alive(new)
    assert not alive(child)


def test_restart_when_the_configuration_differs_or_when_asked(module: Any, home: Path) -> None:
    first = module(spec=write(home))["pid"]
    second = module.predicted(spec=write(home, config="two"))
    assert second["changed"]
    assert second["diff"]["before"] == "outdated\n"
    assert not alive(first)
    third = module(spec=str(home / "env.json"), state="restarted")
    assert third["pid"] != second["pid"]
    assert alive(third["pid"])


def test_changed_command_line_stops_the_old_process(module: Any, home: Path) -> None:
    first = module(spec=write(home))["pid"]
    second = module.predicted(spec=write(home, "--other", config="two"))["pid"]
    assert not alive(first)
    assert alive(second)


def test_lost_pid_file_is_written_again(module: Any, home: Path) -> None:
    pid = module(spec=write(home))["pid"]
    (home / "ollama.pid").unlink()
    (home / "ollama.pid.json").unlink()
    again = module(spec=str(home / "env.json"))
    assert not again["changed"]
    assert again["pid"] == pid
    assert (home / "ollama.pid").exists()


OTHERS = ["", "1", "{}", "[]", '{"pid": 1, "start": 1, "boot": "other", "argv": ["init"]}', '{"pid": "1", "argv": []}']


@pytest.mark.parametrize("record", OTHERS)
def test_pid_file_of_another_process_is_not_believed(module: Any, home: Path, record: str) -> None:
    (home / "ollama.pid").write_text("1\n")
    (home / "ollama.pid.json").write_text(record)
    assert not module(spec=str(home / "env.json"), state="stopped", check=True)["changed"]
    assert module.predicted(spec=str(home / "env.json"))["pid"] != 1


def test_big_log_is_rotated_on_start(module: Any, home: Path) -> None:
    log = home / "logs" / "ollama.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (11 << 20))
    module(spec=write(home))
    assert (home / "logs" / "ollama.log.1").stat().st_size == 11 << 20
    assert log.stat().st_size < 1000


def test_server_that_ends_at_once_is_quoted(module: Any, home: Path) -> None:
    (home / "bin" / "ollama").write_text("#!/bin/sh\necho Error: listen tcp: address already in use\nexit 1\n")
    said = module.fails(spec=write(home))
    assert "exited at once" in said
    assert "address already in use" in said


def test_missing_program_and_missing_spec_are_named(module: Any, home: Path) -> None:
    spec = write(home)
    (home / "bin" / "ollama").unlink()
    assert "No such file" in module.fails(spec=spec)
    (home / "env.json").unlink()
    assert "is missing" in module.fails(spec=spec)
    assert module(spec=spec, check=True)["changed"]
    assert not module(spec=spec, state="stopped")["changed"]


def test_check_mode_starts_nothing(module: Any, home: Path) -> None:
    said = module(spec=write(home), check=True)
    assert said["changed"]
    assert said["pid"] is None
    assert not (home / "logs").exists()
