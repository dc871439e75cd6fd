"""`reaper-ops --version`, the installed console script, against the import of click alone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.measure import Row, Skipped, in_turns

ROUNDS = 40
BAR = 1.5


def run() -> list[Row]:
    script = shutil.which("reaper-ops", path=str(Path(sys.executable).parent))
    if script is None:
        raise Skipped("reaper-ops is not installed beside this Python; `make bench` installs it")
    found = in_turns({"ours": [script, "--version"], "click": [sys.executable, "-c", "import click"]}, ROUNDS)
    return [
        Row("reaper-ops --version", found["ours"].wall, 'python -c "import click"', found["click"].wall, BAR),
    ]
