"""`site.yml` by itself says that nobody confirmed a plan; with one it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[2] / "playbooks" / "site.yml"
SAID = "applies what it computes on the way"


@pytest.mark.parametrize(("words", "said"), [([], True), (["-e", json.dumps({"reaper_confirmed": {}})], False)])
def test_a_plain_run_says_that_it_computes_as_it_goes(words: list[str], said: bool) -> None:
    """On hosts that are only observed, so that nothing is read."""
    variables = ["-e", json.dumps({"ollama_managed": False})]
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", "a,b,", "-c", "local", str(SITE), *variables, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(SAID) == (1 if said else 0)
