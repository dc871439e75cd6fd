from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reaper_ops.adapters import ansible

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.command: sh -c 'touch {0}/first; sleep 3'
    - ansible.builtin.command: touch {0}/second
    - ansible.builtin.command: sleep 600
"""
HOSTS = f"all: {{hosts: {{here: {{ansible_connection: local, ansible_python_interpreter: {sys.executable} }}}}}}"
RUN = """
import pathlib, sys
from reaper_ops import assets
from reaper_ops.adapters import ansible
ours = assets.playbook
assets.playbook = lambda name: pathlib.Path(name) if name.startswith("/") else ours(name)
ansible.playbook(sys.argv[1], ansible.Source((sys.argv[2],)))
"""


def _running(mark: str) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if mark in words:
                found.add(int(entry.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_who_is_killed_outright_leaves_no_ansible_behind(tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAY.format(tmp_path))
    (tmp_path / "hosts.yml").write_text(HOSTS)
    argv = [sys.executable, "-c", RUN, str(tmp_path / "play.yml"), str(tmp_path / "hosts.yml")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ours:
        deadline = time.monotonic() + 60
        while not (tmp_path / "first").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        begun = _running(str(tmp_path)) - {ours.pid}
        ours.send_signal(signal.SIGKILL)
    assert len(begun) > 1, "Ansible had not begun"
    deadline = time.monotonic() + 60
    while _running(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = _running(str(tmp_path))
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == set()
    assert not (tmp_path / "second").exists()


def test_another_copy_of_our_collection_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody installed an older one for `ansible-playbook`; what decides here is what runs here."""
    action = tmp_path / "theirs/ansible_collections/reaper_ops/ollama/plugins/action/ollama_settings.py"
    action.parent.mkdir(parents=True)
    action.write_text("raise RuntimeError('the other copy')\n")
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path / "theirs"))
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("all: {hosts: {h1: {ollama_models: ['{{ name }}:1b'], name: tiny}}}\n")
    found = ansible.inventory(ansible.Source((str(hosts),), None))
    assert found.by_name["h1"].settings.ollama_models == ("tiny:1b",)
