"""`reaper-ops watch` as a user runs it: a process of its own, ended by Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import free_port, http_server

from reaper_ops.cli.program import run
from reaper_ops.core.health.report import HostReport, Report, State
from reaper_ops.formats.health import fleet_view

ROOT = Path(__file__).resolve().parents[3]
ARGV = [sys.executable, "-m", "reaper_ops", "watch", "--interval", "0.5"]


def start(*words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([*ARGV, *words], cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True)


def until(read: Callable[[], str], wanted: str) -> str:
    while True:
        line = read()
        assert line, f"ended before it said {wanted!r}"
        if wanted in line:
            return line


def test_what_changes_is_told_with_its_cause_and_metrics_follow() -> None:
    where = f"127.0.0.1:{free_port()}"
    with http_server() as server:
        process = start("--url", server.url, "--metrics", where)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == f"metrics at http://{where}/metrics\n"
        until(process.stdout.readline, "healthy")
        server.answers = {"/api/version": (503, '{"error":"server busy, please try again.  maximum pending"}')}
        told = until(process.stdout.readline, "overloaded")
        said = urllib.request.urlopen(f"http://{where}/metrics", timeout=10).read().decode()
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    assert told.rstrip().endswith("(was healthy)")
    assert 'reaper_ops_host_state{host="127.0.0.1",state="overloaded"} 1.0' in said
    assert 'reaper_ops_host_state_changes_total{host="127.0.0.1"} 1.0' in said
    assert process.returncode == 4
    assert complaints.strip() == ""


def test_a_terminal_shows_a_table_and_keeps_the_last_one() -> None:
    with http_server() as server:
        mine, theirs = pty.openpty()
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "30"}
        argv = [*ARGV, "--url", server.url]
        process = subprocess.Popen(argv, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = ""
        while "1 healthy" not in shown:
            shown += os.read(mine, 65536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        os.close(mine)
    assert "state" in shown
    assert "127.0.0.1" in shown


def test_json_lines() -> None:
    with http_server() as server:
        process = start("--url", server.url, "-o", "json")
        assert process.stdout is not None
        row = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert (row["before"], row["host"]["state"]) == (None, "healthy")


def test_a_taken_port_is_an_error_before_anything_is_probed(capsys: pytest.CaptureFixture[str]) -> None:
    with http_server() as server:
        assert run(["watch", "--url", server.url, "--metrics", server.url.removeprefix("http://")]) == 1
        assert server.seen == []
    assert "cannot listen there: Address already in use" in capsys.readouterr().err


def test_without_a_target_it_is_an_input_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REAPER_OPS_INVENTORY", raising=False)
    assert run(["watch"]) == 2
    assert "give -i INVENTORY, or --url" in capsys.readouterr().err


def test_a_large_fleet_fits_the_screen_sick_hosts_first() -> None:
    from rich.console import Console

    hosts = [HostReport(f"h{at}", State.HEALTHY) for at in range(50)]
    sick = HostReport("bad\x1b[2J", State.TIMEOUT, "does not answer [b]x", cause="kernel-oom-kill")
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(fleet_view.table(Report("probe", (*hosts, sick)), {}, 120, 20))
    text = console.export_text()
    assert len(text.splitlines()) <= 20
    assert "not shown: 36 healthy" in text
    assert "[kernel-oom-kill] does not answer [b]x" in text.splitlines()[1]
    assert "\\x1b[2J" in text


@pytest.mark.parametrize("width", [80, 100, 130, 200])
def test_the_cause_can_be_read_on_a_narrow_screen(width: int) -> None:
    from rich.console import Console

    sick = HostReport(
        f"gpu-0001.{'long.' * 20}example.org", State.CONNECTION_REFUSED, cause="container-memory-limit-oom"
    )
    console = Console(width=width, record=True, file=io.StringIO())
    table = fleet_view.table(Report("probe", (sick,)), {}, width, 24)
    console.print(table)
    lines = console.export_text().splitlines()
    assert "[container-memory-limit-oom]" in lines[1]
    assert "connection-refused" in lines[1]
    assert ("memory" in lines[0], "Ollama" in lines[0]) == (width >= 100, width >= 130)
    last = console.render_lines(table, pad=False)[-1]
    assert sum(len(segment.text) for segment in last) < width - len("^C")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59.9, "59s"), (61, "1m"), (7200, "2h"), (200000, "2d")])
def test_how_long_a_state_lasts(seconds: float, text: str) -> None:
    assert fleet_view.lasting(seconds) == text


def test_a_broken_round_is_told_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("probe", (HostReport("a", State.HEALTHY),))
    fleet_view.FleetLines().show(report, (), "ansible: was killed")
    fleet_view.FleetJson().show(report, (), "ansible: was killed")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[0].endswith("  this round was not probed: ansible: was killed")
    assert said.err.splitlines()[1] == "error: ansible: was killed"
