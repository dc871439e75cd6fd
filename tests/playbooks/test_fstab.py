"""What `findmnt --verify` says of a changed fstab: its summary of nothing wrong is no error."""

import runpy
import shutil
from pathlib import Path

import pytest

from reaper_ops import assets

UTILS = assets.collection("plugins/module_utils")


@pytest.mark.skipif(shutil.which("findmnt") is None, reason="findmnt is not installed")
@pytest.mark.parametrize(("text", "wrong"), [("none", False), ("swap", False), ("mount", True)])
def test_only_errors_count(tmp_path: Path, text: str, wrong: bool) -> None:
    file, swap = tmp_path / "fstab", tmp_path / "swapfile"
    swap.write_bytes(b"\0" * 4096)
    lines = {
        "none": "# nothing\n",
        "swap": f"{swap} none swap sw 0 0\n",
        "mount": "/dev/no-such /no-such ext4 rw 0 2\n",
    }
    file.write_text(lines[text])
    assert bool(runpy.run_path(str(UTILS / "reaper_swap.py"))["fstab_errors"](str(file))) is wrong
