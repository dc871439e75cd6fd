"""Ansible itself takes every default and every example by the roles' argument specs, and refuses a wrong choice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reaper_ops import assets
from reaper_ops.core.inventory.settings import catalogue

ROLES = assets.collection("roles")


def specs() -> dict[str, object]:
    found = {}
    for role in catalogue.ROLES:
        text = (ROLES / role / "meta" / "argument_specs.yml").read_text()
        found |= yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return found


def validate(tmp_path: Path, values: dict[str, object]) -> subprocess.CompletedProcess[str]:
    task = {"argument_spec": specs(), "provided_arguments": values}
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.validate_argument_spec": task}]}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(tmp_path / "play.json")]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_ansible_takes_defaults_and_examples(tmp_path):
    placed = {row.name: row for row in catalogue.rows()}
    done = validate(tmp_path, {name: row.default for name, row in placed.items()})
    assert done.returncode == 0, done.stdout
    done = validate(tmp_path, {name: row.example for name, row in placed.items() if row.example is not None})
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "value"), [("ollama_runtime", "podman"), ("ollama_port", "http"), ("ollama_env", "x")]
)
def test_ansible_refuses_what_we_refuse(tmp_path, name, value):
    done = validate(tmp_path, {name: value})
    assert done.returncode == 2
    assert name in done.stdout
