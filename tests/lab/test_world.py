"""The surroundings of the lab: started once, stopped cleanly, faults written where the servers read them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from subject import free_ports

from reaper_ops import assets
from reaper_ops.errors import ReaperError
from reaper_ops.lab import standin, world


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("REAPER_OPS_LAB_PORT", str(free_ports(3)))
    yield tmp_path / "lab"
    world.down(tmp_path / "lab")


def alive(pid: int | None) -> bool:
    if pid is None:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(") ")[2][0] != "Z"


def test_up_down(root: Path) -> None:
    first = world.up(root)
    second = world.up(root)
    assert [part.name for part in first.parts] == ["registry", "release"]
    assert all(alive(part.pid) for part in first.parts)
    assert second == first
    assert first.faults["lab-refused"] == ("refuse",)
    assert first.faults["lab-cpu"] == ()
    after = world.down(root)
    assert [part.pid for part in after.parts] == [None, None]
    for part in first.parts:
        assert not alive(part.pid)


def test_break_and_heal(root: Path) -> None:
    world.up(root)
    assert world.break_(root, "lab-cpu", "drop").faults["lab-cpu"] == ("drop",)
    assert world.break_(root, "lab-cpu", "oom").faults["lab-cpu"] == ("drop", "oom")
    file = json.loads((world.home(root, "lab-cpu") / "faults.json").read_text())
    assert file == {"drop": {}, "oom": {}}
    assert world.heal(root, "lab-cpu").faults["lab-cpu"] == ()
    assert world.up(root).faults["lab-cpu"] == ()


@pytest.mark.parametrize(
    ("host", "fault", "hint"),
    [("lab-cpu", "refused", "did you mean refuse?"), ("lab-cup", "drop", "did you mean lab-cpu?")],
)
def test_wrong_words(tmp_path: Path, host: str, fault: str, hint: str) -> None:
    with pytest.raises(ReaperError, match="there is no such") as found:
        world.break_(tmp_path, host, fault)
    assert found.value.hint == hint


def test_a_lab_that_was_never_started(tmp_path: Path) -> None:
    with pytest.raises(ReaperError, match="reaper-ops lab up"):
        world.break_(tmp_path, "lab-cpu", "drop")
    assert [part.pid for part in world.status(tmp_path).parts] == [None, None]


def test_a_taken_port_is_named(root: Path) -> None:
    number = world.port() + 1
    with socket.create_server(("127.0.0.1", number)), pytest.raises(ReaperError, match=f"port {number} is taken"):
        world.up(root)


def test_the_pid_of_a_stranger_is_not_ours(root: Path) -> None:
    (root / "run").mkdir(parents=True)
    (root / "run" / "registry.pid").write_text(f"{os.getpid()}\n")
    assert world.status(root).parts[0].pid is None
    world.down(root)
    assert alive(os.getpid())


def test_the_inventory_has_the_hosts_of_the_world() -> None:
    data = yaml.safe_load((assets.inventory("lab") / "hosts.yml").read_text())
    hosts = data["all"]["children"]["lab"]["hosts"]
    assert {name: row["ollama_bind"] for name, row in hosts.items()} == {
        name: host.address for name, host in world.HOSTS.items()
    }
    assert {name: row.get("lab_fault") for name, row in hosts.items()} == {
        name: host.fault for name, host in world.HOSTS.items()
    }
    assert [name for name, row in hosts.items() if "lab_gpu" in row] == [
        name for name, host in world.HOSTS.items() if host.gpu
    ]


def test_stand_in_of_nvidia_smi(tmp_path: Path) -> None:
    standin.write(tmp_path)
    fields = "index,uuid,name,memory.total,memory.used,driver_version,compute_cap"
    argv = [str(tmp_path / "bin/nvidia-smi"), f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    cells = [cell.strip() for cell in done.stdout.split(",")]
    assert cells == ["0", standin.UUID, "NVIDIA Simulated 24GB (reaper_ops lab)", "24576", "512", standin.DRIVER, "8.9"]
    assert "imulated" in (tmp_path / "SIMULATED").read_text() + done.stdout
