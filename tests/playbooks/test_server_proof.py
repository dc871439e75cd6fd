"""server_proof: the process that was started has the port, or the step has failed and says who has it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

LISTEN = """
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def listener(mark: str) -> Iterator[tuple[int, int]]:
    """(port, pid) of a process that listens."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "REAPER_OPS_CONFIG": mark},
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
        process.kill()


def test_our_process_has_the_port(module: Any, tmp_path: Path) -> None:
    with listener("abc") as (port, pid):
        (tmp_path / "pid").write_text(f"{pid}\n")
        done = module(port=port, pid_file=str(tmp_path / "pid"), config="abc")
        assert [row["pid"] for row in done["holders"]] == [pid]
        assert not done["changed"]
        assert "another configuration" in module.fails(port=port, pid_file=str(tmp_path / "pid"), config="def")


def test_our_process_without_our_configuration_is_no_proof(module: Any, tmp_path: Path) -> None:
    with listener("") as (port, pid):
        (tmp_path / "pid").write_text(f"{pid}\n")
        text = module.fails(port=port, pid_file=str(tmp_path / "pid"), config="abc")
        assert "another configuration than the one just written" in text


def test_somebody_elses_process_is_named(module: Any, tmp_path: Path) -> None:
    with listener("") as (port, pid):
        (tmp_path / "pid").write_text("999999\n")
        text = module.fails(port=port, pid_file=str(tmp_path / "pid"), config="abc")
        assert f"held by pid {pid}" in text


def test_nobody_at_all_is_a_failure_too(module: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        text = module.fails(port=free.getsockname()[1], pid_file=str(tmp_path / "pid"), config="abc")
    assert "held by nobody" in text


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("#!/bin/sh\nexit 0\n", 0o755, ""),
        ("#!/bin/sh\nexit 1\n", 0o755, ""),
        ("#!/bin/sh\nexit 0\n", 0o644, "Permission denied"),
        ("#!/nowhere/sh\n", 0o755, "No such file"),
        ("#!/bin/sh\necho 'libgomp.so.1: cannot open' >&2; exit 127\n", 0o755, "libgomp.so.1: cannot open"),
        (None, 0, "the release is incomplete"),
    ],
)
def test_a_release_whose_runner_cannot_start_is_a_failure_though_there_is_no_model_yet(
    module: Any, tmp_path: Path, text: str | None, mode: int, why: str
) -> None:
    runner = tmp_path / "lib/ollama/llama-server"
    runner.parent.mkdir(parents=True)
    if text is not None:
        runner.write_text(text)
        runner.chmod(mode)
    with listener("abc") as (port, pid):
        (tmp_path / "pid").write_text(f"{pid}\n")
        answer = module(port=port, pid_file=str(tmp_path / "pid"), config="abc", runner=str(runner))
    assert bool(answer.get("failed")) is bool(why), answer
    assert why in answer.get("msg", "")
