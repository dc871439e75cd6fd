"""Programs of the distribution that tests of monitoring and of the web page use where they are there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = {"promtool": "prometheus", "prometheus": "prometheus", "amtool": "prometheus-alertmanager"}


def program(name: str) -> str:
    """Its path; a test is skipped without it, and says what to install."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package {PACKAGES.get(name, name)}; `make prepare`)")
    return found


def checked(*words: str | Path, cwd: Path | None = None) -> str:
    """What it prints; both outputs when it fails."""
    done = subprocess.run([program(str(words[0])), *words[1:]], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
