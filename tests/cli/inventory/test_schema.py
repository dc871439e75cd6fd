"""`schema`: what editors complete from, held against our own inventories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from reaper_ops.cli.program import run
from reaper_ops.core.inventory.settings import names, schema

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "inventories" / "example"
BAD = ROOT / "tests" / "inventories" / "bad" / "settings"


@pytest.mark.parametrize("kind", ["vars", "inventory"])
def test_the_verb_prints_it(kind, capsys):
    assert run(["schema", "--for", kind]) == 0
    assert json.loads(capsys.readouterr().out) == schema.KINDS[kind]()


def test_every_setting_has_help_a_default_and_a_type():
    found = schema.variables()["properties"]
    assert set(found) == {*names(), "reaper_ignore"}
    for name in names():
        assert found[name]["description"]
        assert "default" in found[name]
        assert all("type" in branch or "anyOf" in branch for branch in found[name]["anyOf"])


@pytest.fixture(scope="module")
def check():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with ansible-lint")
    made = {}
    for kind, build in schema.KINDS.items():
        jsonschema.Draft202012Validator.check_schema(build())
        made[kind] = jsonschema.Draft202012Validator(build())
    return lambda kind, value: [error.message for error in made[kind].iter_errors(value)]


def test_the_example_inventory_satisfies_it(check):
    assert check("inventory", yaml.safe_load((EXAMPLE / "hosts.yml").read_text())) == []
    for path in (EXAMPLE / "group_vars").iterdir():
        assert check("vars", yaml.safe_load(path.read_text())) == [], path.name


@pytest.mark.parametrize(
    "variables",
    [
        {"ollama_port": "{{ base + 1 }}"},
        {"ollama_port": None, "swap_size": 1 << 30},
        {"ollama_keep_alive": -1, "ollama_release_sha256": {"ollama-linux-amd64.tgz": "a" * 64}},
        {"ntp_servers": ["a"], "reaper_ignore": ["docker_*"]},
    ],
)
def test_what_the_tool_takes_an_editor_takes(check, variables):
    assert check("vars", variables) == []


@pytest.mark.parametrize(
    "name", ["port-is-text", "port-too-large", "unknown-setting", "runtime-choice", "models-map", "sha256-short"]
)
def test_an_editor_sees_the_mistakes_of_type(check, name):
    assert check("inventory", yaml.safe_load((BAD / f"{name}.yml").read_text())) != []
