"""Variables of other roles stay theirs: neither judged nor evaluated when Ansible runs our playbooks."""

from __future__ import annotations

import sys
from pathlib import Path

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import Source

HOST = """
all:
  hosts:
    here:
      ansible_connection: local
      ansible_python_interpreter: {python}
      ollama_runtime: process
      ollama_home: {home}
      reaper_ignore: [docker_*]
      docker_edition: ce
      docker_users: "{{{{ not_ours }}}}"
"""


def test_a_host_is_read_although_another_role_has_variables_like_ours(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(HOST.format(python=sys.executable, home=tmp_path / "ollama"))
    run = ansible.playbook("facts.yml", Source((str(path),)))
    assert (run.failed, run.unreachable) == ({}, {})
    assert [event["host"] for event in run.results if "answers" in event.get("result", {})] == ["here"]
