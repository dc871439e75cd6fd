"""Where the store of a container lies on its host; `docker` is a stand-in that prints the mounts."""

from __future__ import annotations

import json
import os
import subprocess
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has processes of others")
def test_a_process_of_somebody_else_is_never_ended(tmp_path):
    """Who owns the store writes the file that names what is to be ended."""
    staging = tmp_path / ".reaper"
    staging.mkdir()
    with subprocess.Popen(["sleep", "60"], user=65534) as other:
        fields = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()
        (staging / "session.json").write_text(json.dumps({"pid": other.pid, "start": int(fields[19])}))
        assert Module("ollama_swarm")(state="ended", models_dir=str(tmp_path))["changed"] is False
        assert not (staging / "end").exists()
        assert other.poll() is None
        other.kill()
