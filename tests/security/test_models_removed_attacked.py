"""`models rm` and `models prune`, from the command line to the host: its user has laid links where they are noted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from models_fleet import fleet
from security.conftest import SECRET, Ground

from reaper_ops.cli.program import run


@pytest.mark.parametrize("laid", ["names", "directory"])
def test_nothing_is_written_read_or_locked_through_a_link(
    ground: Ground, laid: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "controller"))
    with fleet(tmp_path / "fleet", "one") as found:
        home = tmp_path / "fleet/homes/one"
        wanted, spare = found.name("tiny"), found.name("small")
        found.seed("one", "tiny", "small")
        inventory = found.write("tiny")
        theirs = Ground(ground.victim, home, {})
        if laid == "directory":
            (home / "reaper_ops").rmdir()
            theirs.link("reaper_ops", ground.victim)
        else:
            theirs.link("reaper_ops/pulls.json", ground.victim / "shadow")
            theirs.link("reaper_ops/pull.lock", ground.victim / "new")
            theirs.link("reaper_ops/manifest.json", ground.victim / "shadow")
        before = found.listed("one")
        capfd.readouterr()
        argv = ["-i", inventory, "-l", "one", "--yes", "-o", "json"]
        assert run(["models", "rm", *argv, spare]) == 3
        told = capfd.readouterr()
        problem = json.loads(told.out)["problems"]["one"]
        assert ("is a link of user" if laid == "directory" else "symbolic links") in problem, problem
        assert found.listed("one") == before, "what cannot be noted is not removed"
        run(["models", "prune", *argv])
        pruned = capfd.readouterr()
        assert found.listed("one") == before, f"nothing that names {wanted} or {spare} was written by us"
        assert SECRET not in told.out + told.err + pruned.out + pruned.err
