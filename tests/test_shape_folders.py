"""The folders of tests/fleet/shapes are well-formed: a mistake in one is found without a host."""

import re
import subprocess

import pytest
from fleet import shape
from fleet.shape import FILES, FOLDER

from reaper_ops.core.inventory.settings import Settings

CONNECTION = re.compile(r"^(ansible_|fleet_|shape_)")


def test_there_is_a_reduced_set() -> None:
    assert [name for name in shape.names() if shape.read(name).ci]


@pytest.mark.parametrize("name", shape.names())
def test_folder_is_well_formed(name: str) -> None:
    files = {path.name for path in (FOLDER / name).iterdir()}
    assert "expect.yml" in files
    assert files <= FILES
    read = shape.read(name)
    given = shape.settings(name)
    unknown = [key for key in given if not CONNECTION.match(key) and key not in Settings.model_fields]
    assert unknown == []
    parts = [*read.variants, *([read.plan] if read.plan else [])]
    patterns = [p for part in parts for p in (*part.blockers, *part.warnings, *part.reasons, *part.unread)]
    for pattern in (*patterns, *(left.line for left in read.left), read.up.problem if read.up else ""):
        re.compile(pattern)
    assert [left.line for left in read.left if read.down is None] == []


@pytest.mark.parametrize("name", [n for n in shape.names() if (FOLDER / n / "prepare.sh").exists()])
def test_script_is_shell(name: str) -> None:
    subprocess.run(["bash", "-n", FOLDER / name / "prepare.sh"], check=True)
    assert (FOLDER / name / "prepare.sh").read_text().startswith("set -eu")
