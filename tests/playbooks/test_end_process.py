"""end_process: the right process, and no other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def test_the_program_is_ended(module: Any, tmp_path: Path) -> None:
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "ollama")
    with subprocess.Popen([program, "60"]) as process:
        assert module(pid=process.pid, programs=["ollama"], check=True)["changed"]
        assert process.poll() is None
        assert module(pid=process.pid, programs=["ollama"])["command"].endswith("ollama 60")
        assert process.wait(10) == -15
        assert not module(pid=process.pid, programs=["ollama"])["changed"]


def test_another_program_with_this_id_is_left_alone(module: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        assert "was not touched" in module.fails(pid=process.pid, programs=["ollama"])
        assert process.poll() is None
        process.kill()


def test_a_process_that_was_given_the_number_of_the_one_that_was_seen_is_left_alone(
    module: Any, tmp_path: Path
) -> None:
    """Same number, same program: only the time of its start tells that it is another one."""
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "ollama")
    with subprocess.Popen([program, "60"]) as process:
        now = int(time.time())
        said = module.fails(pid=process.pid, programs=["ollama"], began=now - 600)
        assert "apart from the observed one" in said
        assert process.poll() is None
        assert module(pid=process.pid, programs=["ollama"], began=now)["changed"]
        assert process.wait(10) == -15
