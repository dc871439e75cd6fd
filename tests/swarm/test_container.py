"""Where the store of a container lies on its host; `docker` is a stand-in that prints the mounts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from playbooks.conftest import Module

INSIDE = "/root/.ollama/models"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def answers(mounts: list[dict[str, str]]) -> None:
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(mounts))})\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return answers


def ended(**args: object) -> dict[str, object]:
    return Module("ollama_swarm")(state="ended", models_dir=INSIDE, container="ollama", **args)


def test_the_volume_is_found_where_it_really_is(docker, tmp_path):
    session = tmp_path / "volume" / "models" / ".reaper" / "session.json"
    session.parent.mkdir(parents=True)
    session.write_text(json.dumps({"pid": 1 << 30, "start": 1}))
    docker([{"Destination": "/root/.ollama", "Source": str(tmp_path / "volume")}])
    assert ended() == {"changed": False, "invocation": ended()["invocation"]}


def test_a_store_that_is_elsewhere_is_said(docker):
    docker([{"Destination": "/root/.ollama", "Source": "/no/such/place"}])
    assert "/no/such/place: the volume of ollama is not on this host" in str(ended()["msg"])


def test_a_container_without_a_volume_is_said(docker):
    docker([])
    assert "the container ollama mounts nothing at /root/.ollama/models" in str(ended()["msg"])
