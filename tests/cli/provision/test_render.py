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
        "# ---- b: /etc/systemd/system/ollama.service.d/zz-reaper_ops.conf",
    ]


def test_files_go_to_a_directory(inventory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "-i", inventory, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"3 files of 2 hosts in {tmp_path / 'out'}\n"
    assert (tmp_path / "out/b/etc/systemd/system/ollama.service").is_file()


def test_a_directory_that_cannot_be_written_is_named(inventory: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "-i", inventory, "--out", "/proc/nowhere"]) == 1
    assert "/proc/nowhere" in capsys.readouterr().err


def test_what_prometheus_needs_lies_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "prometheus", "--every", "5s", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"2 files of prometheus in {tmp_path}\n"
    assert sorted(path.name for path in (tmp_path / "prometheus").iterdir()) == [
        "prometheus.yml",
        "reaper_ops.rules.yml",
    ]
    assert 'scrape_interval: "5s"' in (tmp_path / "prometheus" / "prometheus.yml").read_text()


def test_one_program_with_one_file_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "alertmanager", "--webhook", "http://127.0.0.1:5001/"]) == 0
    assert capsys.readouterr().out.startswith("# Rendered by reaper_ops: `reaper-ops render alertmanager`\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prometheus", "--for", "soon"], "--for: 'soon' is no duration"),
        (["compose", "--webhook", "http://x"], "--webhook is not for hosts; name a KIND"),
        (["compose"], "no inventory; give -i INVENTORY"),
    ],
)
def test_words_that_do_not_fit(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REAPER_OPS_INVENTORY", raising=False)
    assert run(["render", *words]) == 2
    assert said in capsys.readouterr().err
