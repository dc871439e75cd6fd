"""What a verb prints and nobody takes: a full disk, a closed pipe; and locales without UTF-8 or not there at all."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest
from hostile_verbs import ROWS, arranged

from reaper_ops.cli import program

ROOT = Path(__file__).resolve().parents[2]
CODE = "import sys; from reaper_ops.cli.main import main; main()"


def run(*words: str, out: int = subprocess.PIPE, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", CODE, *words]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return subprocess.run(
        argv, stdout=out, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**kept, **env}, check=False
    )


@pytest.mark.parametrize("words", [["runbook"], ["schema"], ["--help"]])
def test_a_full_disk_is_named_and_is_no_defect(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = run(*words, out=full.fileno())
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output: cannot be written: No space left on device;")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["runbook"], ["schema"], ["--help"]])
def test_a_reader_that_went_away_gets_no_word(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run(*words, out=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_trouble_is_told_by_the_exit_code_where_standard_error_is_full_too() -> None:
    with open("/dev/full", "w") as full:
        argv = [sys.executable, "-c", CODE, "hosts", "-i", "no/such/place"]
        done = subprocess.run(argv, stdout=full, stderr=full, cwd=ROOT, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C"}, {"LC_ALL": "xx_XX.UTF-8"}, {"LANG": "C"}, {"PYTHONIOENCODING": "ascii"}], ids=str
)
def test_ansible_runs_in_any_locale_of_the_user(env: dict[str, str]) -> None:
    done = run("hosts", "-i", "inventories/lab", **env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lab-")


def test_a_machine_without_utf8_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from reaper_ops.adapters import utf8
    from reaper_ops.errors import CommandError

    monkeypatch.setattr(utf8, "_is_utf8", lambda _name: False)
    with pytest.raises(CommandError, match=r"no locale of UTF-8.*localedef"):
        utf8.environment()


def nowhere(kind: str) -> TextIO:
    """A full disk, a pipe whose reader went away, or a terminal of the locale C."""
    if kind == "full":
        return open("/dev/full", "w")
    if kind == "ascii":
        return io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


@pytest.mark.parametrize("kind", ["full", "closed", "ascii"])
@pytest.mark.parametrize(("verb", "place"), ROWS)
def test_no_verb_ends_by_what_its_output_does_not_take(
    verb: str, place: int, kind: str, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = arranged(verb, place, places, monkeypatch)
    plain, told = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", plain)
        expected = program.run(argv)
    told.seek(0)
    told.truncate()
    argv = [word.replace(places["DIRECTORY"], places["DIRECTORY"] + "-again") for word in argv]
    with monkeypatch.context() as patch, nowhere(kind) as stdout:
        patch.setattr(sys, "stdout", stdout)
        code = program.run(argv)
        assert "Traceback" not in told.getvalue()
        assert "defect of reaper_ops" not in told.getvalue()
        if kind == "ascii":
            assert code == expected
        elif plain.getvalue():
            assert code == 1
            assert ("cannot be written: No space left on device" in told.getvalue()) == (kind == "full")
