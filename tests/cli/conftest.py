from __future__ import annotations

import os

import pytest
from hostile_verbs import places as places


@pytest.fixture
def no_ssh(tmp_path, monkeypatch):
    """An ssh that leaves a mark when anybody starts it."""
    mark = tmp_path / "contacted"
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/sh\ntouch {mark}\nexit 255\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    return mark
