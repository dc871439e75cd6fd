"""`hosts`: good inventories of every kind, as they come out with the source of each setting."""

from __future__ import annotations

import json

import pytest
from cli_cases import INVENTORIES, ROOT, argv, names

from reaper_ops.cli.program import run


@pytest.mark.parametrize("name", names("good"))
def test_a_good_inventory_gives_these_settings_from_these_places(name, capfd, monkeypatch, no_ssh):
    monkeypatch.chdir(ROOT)
    code = run(["hosts", "-o", "json", *argv("good", name)])
    said = capfd.readouterr()
    assert (code, said.err) == (0, "")
    answer = json.loads(said.out)
    assert answer["schema"] == "reaper-ops/hosts/1"
    found = {
        row["host"]: {name: [one["value"], one["source"]] for name, one in row["settings"].items()}
        for row in answer["hosts"]
    }
    assert found == json.loads((INVENTORIES / "good" / f"{name}.expect").read_text())
    assert not no_ssh.exists()


def test_people_see_values_sources_and_files_and_no_secret(capfd, monkeypatch):
    monkeypatch.chdir(ROOT)
    code = run(["hosts", *argv("good", "folder"), "-e", "ollama_https_proxy=http://me:secret@proxy.example.org"])
    said = capfd.readouterr().out
    assert code == 0
    assert said.startswith("gpu1  http://127.0.0.1:11500  (ssh gpu1, group gpu)\n")
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "ollama_https_proxy http://***@proxy.example.org extra vars" in lines
    assert "ollama_keep_alive 1h group gpu (tests/inventories/good/folder/group_vars/gpu.yml:1)" in lines
    assert any(line.endswith("group_vars/gpu.yml:2), from a template") for line in lines)
    assert "ollama_version" not in said


def test_all_shows_defaults_too(capfd, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert run(["hosts", "--all", "-i", "gpu1,"]) == 0
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "swap_size 8G default" in lines
    assert "ollama_keep_alive - default" in lines
