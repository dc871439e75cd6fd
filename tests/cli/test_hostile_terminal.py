"""Every verb is driven with hostile names, versions, errors and log lines, and its terminal is read."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_cases import VERBS
from hostile import EVIL, strays
from hostile_verbs import CASES, ROWS, arranged

from reaper_ops.cli.program import run
from reaper_ops.errors import CommandError, ReaperError, ReaperErrors

ROOT = Path(__file__).resolve().parents[2]


def test_every_verb_has_a_case() -> None:
    assert set(CASES) == set(VERBS)


@pytest.mark.parametrize(("verb", "place"), ROWS)
def test_the_terminal_shows_and_obeys_nothing(
    verb: str,
    place: int,
    places: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    argv = arranged(verb, place, places, monkeypatch)
    if verb == "auth status":
        assert run(["auth", "login", "ollama", "--base-url", places["GOOD"]]) == 0
    code, words = run(argv), argv
    out, err = (data.decode() for data in capfdbinary.readouterr())
    assert "Traceback" not in out + err
    assert "CANARY" not in out + err
    page = Path(places["PAGE"])
    assert not page.exists() or "CANARY" not in page.read_text()
    assert "defect of reaper_ops" not in err
    assert not strays((out if verb != "render" else out.replace("\t", "")) + err)
    if verb != "render" and "prometheus" not in words and "junit" not in words:
        assert not re.findall(r"^root:0", out + err, re.M)
    _read_back(words, out, code)


def _read_back(words: list[str], out: str, code: int) -> None:
    if "json" in words and code != 2:
        for document in [out] if out.startswith("{\n") else out.splitlines():
            json.loads(document)
    if "junit" in words:
        from xml.etree import ElementTree as XML

        assert XML.fromstring(out).tag == "testsuites"
    if "nagios" in words:
        assert out.count("\n") == 1
        assert out.count("|") == 1
    if "prometheus" in words:
        from prometheus_client.parser import text_string_to_metric_families

        assert list(text_string_to_metric_families(out))


@pytest.mark.parametrize("kind", [ReaperError, CommandError])
def test_errors(
    kind: type[ReaperError], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ReaperErrors((kind(EVIL, EVIL, EVIL), kind(EVIL, EVIL)))

    def defect(*_: Any, **__: Any) -> None:
        raise RuntimeError(EVIL)

    for flow in (fail, defect):
        monkeypatch.setattr("reaper_ops.flows.provision.plan.plan", flow)
        assert run(["plan", "-i", "x"]) in {1, 2}
        err = capfdbinary.readouterr().err.decode()
        assert not strays(err)
        assert all(line.startswith("error: ") for line in err.splitlines())


VIEWS = """
import sys; sys.path.insert(0, "tests")
from hostile import EVENTS, EVIL, filled
from reaper_ops.cli import terminal
from reaper_ops.core.health.report import Report, State, StateChange
from reaper_ops.formats import progress
from reaper_ops.formats.health import fleet_view
from reaper_ops.formats.models import pull_progress
with terminal.guarded():
    for view in (progress.choose("text"), pull_progress.choose("text")):
        assert type(view).__name__.endswith("Live")
        with view as shown:
            for event in EVENTS:
                shown(event)
                getattr(shown, "_bars", None) and getattr(shown, "_view", shown._bars).refresh()
            print(EVIL)
            sys.stderr.write(EVIL)
    report = filled(Report)
    with fleet_view.choose("text") as shown:
        shown.show(report, [StateChange(report.hosts[0], report.hosts[0])], EVIL)
"""
OWN = re.compile(r"\x1b\[(?:\?25[lh]|[0-9;]*[mAKG]|[0-9]*[AK]|2K|1A)|\r")
"""What rich itself sends: cursor on and off, up, erase a line, colours."""


def test_live_views_on_a_terminal_move_the_cursor_only_by_themselves() -> None:
    mine, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", "LINES": "40", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", VIEWS], cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    raw = b""
    while True:
        try:
            piece = os.read(mine, 65536)
        except OSError:
            break
        if not piece:
            break
        raw += piece
    assert process.wait(60) == 0, raw.decode(errors="replace")
    os.close(mine)
    text = raw.decode()
    assert "\\x1b]0;pwned" in text
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x1b[32mgreen" not in text
    assert not strays(OWN.sub("", text))


def test_own_colours_pass_and_foreign_ones_do_not() -> None:
    from reaper_ops.formats import visible

    assert visible.printable(visible.painted("a", "31") + "\x1b[31mb") == "\x1b[31ma\x1b[0m\\x1b[31mb"
