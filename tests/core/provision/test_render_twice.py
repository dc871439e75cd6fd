"""What Ansible's `template` writes and what Python renders is the same, byte for byte, for every golden shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden_shapes import NAMES, shape

from reaper_ops import assets
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import render

PLUGIN = """
import json
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        with open(self._task.args["file"]) as file:
            return {**super().run(tmp, task_vars), "ansible_facts": {"reaper": json.load(file)}}
"""
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - context: {file: "{{ root }}/{{ inventory_hostname }}.json"}
    - ansible.builtin.template:
        src: "{{ templates }}/{{ item.value.template }}"
        dest: "{{ root }}/{{ inventory_hostname }}{{ item.value.path }}"
        mode: "{{ item.value.mode }}"
      loop: "{{ reaper.targets | dict2items }}"
      loop_control: {label: "{{ item.key }}"}
"""


def hostile() -> tuple[Settings, Facts]:
    """Values that look like templates to whoever renders twice."""
    names = ("{{ 7 * 7 }}", "{% raw %}", "$(id)", "a b", "%n", 'q"\\')
    return Settings(ollama_no_proxy=names), render.neutral("hostile")


@pytest.fixture(scope="module")
def by_ansible(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which one Ansible run wrote HOST/path for every shape."""
    root = tmp_path_factory.mktemp("ansible")
    cases = {name: shape(name) for name in NAMES} | {"hostile": hostile()}
    for name, (settings, facts) in cases.items():
        (root / f"{name}.json").write_text(json.dumps(render.context(settings, facts)))
        for target in render.targets(settings, facts):
            (root / name / target.path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
    (root / "plugins").mkdir()
    (root / "plugins/context.py").write_text(PLUGIN)
    (root / "play.yml").write_text(PLAYBOOK)
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    variables |= {"root": str(root), "templates": str(assets.templates())}
    (root / "hosts.json").write_text(json.dumps({"all": {"hosts": dict.fromkeys(cases), "vars": variables}}))
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(root / "hosts.json"), str(root / "play.yml")]
    env = os.environ | {
        "ANSIBLE_ACTION_PLUGINS": str(root / "plugins"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": "8",
    }
    done = subprocess.run(argv, env=env, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return root


@pytest.mark.parametrize("name", [*NAMES, "hostile"])
def test_both_renderers_agree(by_ansible: Path, name: str) -> None:
    for path, text in render.files(*(hostile() if name == "hostile" else shape(name))).items():
        assert (by_ansible / name / path.lstrip("/")).read_bytes() == text.encode()
