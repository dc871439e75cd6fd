"""`reaper-ops render` as a user runs it, on an inventory that Ansible reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from reaper_ops.cli.program import run

INVENTORY = """
all:
  vars: {ansible_connection: local}
  hosts:
    a: {ollama_port: 11500, ollama_runtime: docker}
    b: {ollama_port: 11501}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    path = tmp_path / "hosts.yml"
    path.write_text(INVENTORY)
    return str(path)


def test_one_file_is_printed_as_it_is(inventory: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "compose", "-i", inventory, "-l", "a"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# Managed by reaper_ops; changes are overwritten\n")
    assert '"127.0.0.1:11500:11434"' in out


def test_several_files_are_parted_by_comments(inventory: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "-i", inventory]) == 0
    headers = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# ---- ")]
    assert headers == [
        "# ---- a: /etc/reaper_ops/compose.yaml",
        "# ---- b: /etc/systemd/system/ollama.service",
        "# ---- b: /etc/systemd/system/ollama.service.d/10-reaper_ops.conf",
    ]


def test_files_go_to_a_directory(inventory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "-i", inventory, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"3 files of 2 hosts in {tmp_path / 'out'}\n"
    assert (tmp_path / "out/b/etc/systemd/system/ollama.service").is_file()


def test_a_directory_that_cannot_be_written_is_named(inventory: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "-i", inventory, "--out", "/proc/nowhere"]) == 1
    assert "/proc/nowhere" in capsys.readouterr().err
