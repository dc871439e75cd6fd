"""`init`: the example inventory, which is a good one, and never in the way of files that are there."""

from __future__ import annotations

import json

from reaper_ops import assets
from reaper_ops.cli.program import run


def test_a_new_directory_gets_an_inventory_that_passes(tmp_path, capfd):
    target = tmp_path / "fleet"
    assert run(["init", str(target)]) == 0
    assert f"reaper-ops plan -i {target}" in capfd.readouterr().out
    assert run(["hosts", "-i", str(target), "-o", "json"]) == 0
    rows = {row["host"]: row["settings"] for row in json.loads(capfd.readouterr().out)["hosts"]}
    assert rows["gpu2.example.org"]["ollama_models"]["value"] == ["@guide"]
    assert rows["gpu2.example.org"]["ollama_model_sets"]["value"]["guide"] == [
        "llama3:latest",
        "deepseek-r1:32b",
        "mistral:latest",
        "codellama:latest",
    ]
    assert rows["box1.example.org"]["ollama_runtime"]["source"] == "group docker"


def test_a_directory_that_holds_files_is_refused(tmp_path, capsys):
    (tmp_path / "notes").write_text("mine")
    assert run(["init", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: is not empty; name another directory, or add only what is missing: --force\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_force_keeps_what_is_there(tmp_path, capsys):
    (tmp_path / "hosts.yml").write_text("mine")
    assert run(["init", "--force", str(tmp_path)]) == 0
    assert (tmp_path / "hosts.yml").read_text() == "mine"
    assert f"kept     {tmp_path / 'hosts.yml'}" in capsys.readouterr().out
    example = assets.inventory("example")
    missing = [p for p in example.rglob("*") if not (tmp_path / p.relative_to(example)).exists()]
    assert missing == []


def test_a_file_is_no_place(tmp_path, capsys):
    (tmp_path / "x").write_text("")
    assert run(["init", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'x'}: is a file; name a directory\n"
