"""`python -m bench`: every name of the list is a benchmark, and others are refused. Nothing is measured here."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_every_name_is_a_benchmark() -> None:
    for name in importlib.import_module("bench.__main__").NAMES:
        assert callable(importlib.import_module(f"bench.{name}").run)


def test_another_name_is_refused() -> None:
    argv = [sys.executable, "-m", "bench", "sped"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    known = "version, render, probe, up, doctor, scale, report, pull, mirror, swarm"
    assert f"no benchmark is called sped; there are {known}" in done.stderr


@pytest.mark.parametrize(("ours", "verdict"), [(1.0, "met"), (1.01, "MISSED")])
def test_a_row_says_whether_its_bar_is_met(ours: float, verdict: str) -> None:
    row = importlib.import_module("bench.measure").Row("x", ours, "y", 2.0, 0.5)
    cells = importlib.import_module("bench.__main__").cells(row)
    assert cells == ("x", f"{ours:.3f} s", "y", "2.000 s", f"{ours / 2:.2f}", "≤ 0.5", verdict)


def test_a_benchmark_that_fails_stops_the_run() -> None:
    in_turns = importlib.import_module("bench.measure").in_turns
    with pytest.raises(SystemExit, match="false ended with 1"):
        in_turns({"false": ["false"]}, 1)
