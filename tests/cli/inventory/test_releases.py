"""`releases`: what the table knows, what is refused, and what is recommended, in text and JSON."""

from __future__ import annotations

import json

import pytest

from reaper_ops.cli.program import run


def test_the_list_says_which_is_recommended_and_which_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["releases"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line[:1].isdigit()}
    assert rows["0.35.1"].endswith("recommended")
    assert [version for version, line in rows.items() if "CVE-2026-103663" in line] == ["0.34.4", "0.34.3", "0.34.2"]
    assert "manifests-v2" in rows["0.40.2"]


def test_one_release_with_all_that_is_known_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["releases", "v0.34.2"]) == 0
    printed = capsys.readouterr().out
    assert "since 0.34.2, fixed in 0.35.0 (https://cert.pl/" in printed
    assert "`plan` and `up` refuse it" in printed
    assert "llama.cpp b10969" in printed


def test_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["releases", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["recommended"] == "0.35.1"
    refused = [row["version"] for row in document["releases"] if row["refused"]]
    assert refused == ["0.34.4", "0.34.3", "0.34.2"]


def test_an_unknown_release_names_its_neighbors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["releases", "0.34.9"]) == 2
    assert "0.34.9: not in the table of releases; it has 0.34." in capsys.readouterr().err
