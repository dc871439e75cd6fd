"""unit_state: whatever systemd says of itself, it reads all files before a server is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$CALLS"
[ "$1" = show ] || exit 0
printf 'LoadState=loaded\\nActiveState=%s\\nUnitFileState=enabled\\nNeedDaemonReload=no\\n' "$ACTIVE"
"""


@pytest.mark.parametrize(
    ("state", "active", "verb"), [("started", "inactive", "start"), ("restarted", "active", "restart")]
)
def test_systemd_reads_all_files_before_a_server_starts(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, active: str, verb: str
) -> None:
    """A drop-in in a directory that is new to it is not seen otherwise, though it says that it need not read again."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("ACTIVE", active)
    assert module(name="ollama.service", state=state)["changed"]
    calls = [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls == ["show", "daemon-reload", "reset-failed", verb]
