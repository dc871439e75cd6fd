"""`models sets`: sets within sets, and a group that overrides one."""

from __future__ import annotations

import json

import pytest

from reaper_ops.cli.program import run

INVENTORY = """
all:
  vars:
    ollama_model_sets: {base: [tiny], dev: ["@base", "codellama:7b"]}
    ollama_models: ["@dev", llama3]
  hosts: {one: {}}
  children:
    small:
      vars: {ollama_model_sets: {base: ["qwen3:0.6b"], dev: ["@base"]}}
      hosts: {two: {}}
"""


@pytest.fixture
def inventory(tmp_path):
    path = tmp_path / "inventory.yml"
    path.write_text(INVENTORY)
    return str(path)


def test_people_see_each_form_of_a_set_and_each_host(inventory, capfd):
    assert run(["models", "sets", "-i", inventory]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "@base  qwen3:0.6b   on two",
        "@base  tiny:latest   on one",
        "@dev  qwen3:0.6b   (@base)   on two",
        "@dev  tiny:latest, codellama:7b   (@base, codellama:7b)   on one",
        "two  qwen3:0.6b, llama3:latest   (@dev, llama3:latest)",
        "one  tiny:latest, codellama:7b, llama3:latest   (@dev, llama3:latest)",
    ]


def test_machines_read_the_same(inventory, capfd):
    assert run(["models", "sets", "-i", inventory, "-o", "json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["schema"] == "reaper-ops/model-sets/1"
    assert answer["hosts"][0] == {
        "host": "two",
        "asked": ["@dev", "llama3:latest"],
        "models": ["qwen3:0.6b", "llama3:latest"],
    }
    assert run(["models", "sets", "-i", inventory, "-o", "lines"]) == 0
    assert "two qwen3:0.6b" in capfd.readouterr().out.splitlines()


def test_a_set_that_is_not_there_is_an_error_of_the_input(inventory, capfd):
    assert run(["models", "sets", "-i", inventory, "-e", '{"ollama_models": ["@devv"]}']) == 2
    assert "did you mean @dev?" in capfd.readouterr().err
