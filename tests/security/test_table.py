"""docs/security.md has a row for whatever root runs on a host, and none for what is gone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from reaper_ops import assets

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = assets.collection()
RUN_AS_ROOT = (
    "plugins/modules/*.py",
    "plugins/action/*.py",
    "roles/*/tasks/*.yml",
    "roles/*/handlers/*.yml",
    "playbooks/**/*.yml",
)


def rows(section: str) -> list[list[str]]:
    text = (ROOT / "docs/security.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_module_plugin_task_file_and_remedy_has_a_row_and_every_row_a_file() -> None:
    there = {str(path.relative_to(PLAYBOOKS)) for pattern in RUN_AS_ROOT for path in PLAYBOOKS.glob(pattern)}
    named = [row[0].strip("`") for row in rows("Root operations")]
    assert sorted(named) == sorted(set(named)), "a file has two rows"
    assert set(named) - there == set(), "rows of docs/security.md without a file"
    assert there - set(named) == set(), "root runs these; docs/security.md must say how"


@pytest.mark.parametrize("row", rows("Root operations"), ids=lambda row: row[0].strip("`"))
def test_each_row_says_who_can_write_there_and_how_it_is_done(row: list[str]) -> None:
    assert len(row) == 5
    assert all(row)


def test_each_class_of_attempts_names_a_test_that_is_there() -> None:
    for name, count, where in rows("Attempts by class"):
        assert count, f"{name} says nothing of what was tried"
        files = re.findall(r"`(tests/[^`:]+)", where)
        assert files, f"{name} names no test"
        assert all((ROOT / file).is_file() for file in files), where


CONTROLS = frozenset({"test_the_reader_as_one_program_has_all_its_parts"})
"""Tests in files of attempts that attempt nothing."""
COUNTED = re.compile(r"^\|[^|]*\| (?P<attempts>\d+) \| `(?P<file>tests/security/test_\w+\.py)` \|$", re.MULTILINE)


def test_numbers_of_attempts_are_those_of_the_tests() -> None:
    """Where a row gives one number and one file of this folder."""
    told = {row["file"]: int(row["attempts"]) for row in COUNTED.finditer((ROOT / "docs/security.md").read_text())}
    words = ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *told]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    ids = [line.split("::") for line in done.stdout.splitlines() if "::" in line]
    found = Counter(file for file, name in ids if name.partition("[")[0] not in CONTROLS)
    assert len(told) > 6
    assert told == found
