"""`lab down` ends processes by pid files and removes files: only in a directory of who calls it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from security.conftest import LESSER, Ground

from reaper_ops.errors import ReaperError
from reaper_ops.lab import world

HOST = next(iter(world.HOSTS))
DO: dict[str, Callable[[Path], object]] = {
    "up": world.up,
    "down": world.down,
    "break": lambda root: world.break_(root, HOST, "slow-prompt"),
    "heal": lambda root: world.heal(root, HOST),
}


@pytest.mark.parametrize("verb", DO)
@pytest.mark.parametrize("harm", ["theirs", "run is a link", "host is a link", "anybody may write"])
def test_a_directory_of_somebody_else_is_refused(ground: Ground, verb: str, harm: str) -> None:
    root = ground.home.parent / "lab"
    (root / "hosts").mkdir(parents=True)
    if harm == "theirs":
        os.chown(root, LESSER, LESSER)
    elif harm == "anybody may write":
        root.chmod(0o777)
    else:
        (root / {"run is a link": "run", "host is a link": f"hosts/{HOST}"}[harm]).symlink_to(ground.victim)
    with pytest.raises(ReaperError, match="is a link, belongs to somebody else, or others can write there"):
        DO[verb](root)
