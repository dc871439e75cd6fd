"""An archive that this machine is to bring to the host is looked for by `plan`, not by a copy that fails in `up`."""

from __future__ import annotations

from pathlib import Path

from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.inventory import hosts as inventory
from reaper_ops.flows.inventory.gather import Gathered
from reaper_ops.flows.provision import plan

VERSION = "0.35.1"


def planned(place: Path) -> plan.Planned:
    row = {"ollama_release_url": str(place), "ollama_version": VERSION, "ollama_runtime": "systemd"}
    found = inventory.parse({"_meta": {"hostvars": {"a": row}}, "all": {"hosts": ["a"]}}, {})
    facts = Facts("a", System(os_id="debian", arch="x86_64"))
    return plan.compute(found, Gathered({"a": facts}))


def test_an_archive_that_is_missing_here_blocks_the_host(tmp_path: Path) -> None:
    (one,) = planned(tmp_path).plans
    assert "ollama/release" in one.todo
    (archive,) = [text for text in one.blockers if str(tmp_path) in text]
    assert archive.startswith(f"this machine has no readable file {tmp_path}/v{VERSION}/ollama-linux-amd64")
    assert "ollama_release_url" in archive


def test_an_archive_that_is_here_blocks_nothing(tmp_path: Path) -> None:
    (tmp_path / f"v{VERSION}").mkdir()
    for end in (".tar.zst", ".tgz"):
        (tmp_path / f"v{VERSION}" / f"ollama-linux-amd64{end}").write_bytes(b"x")
    (one,) = planned(tmp_path).plans
    assert not [text for text in one.blockers if str(tmp_path) in text]
