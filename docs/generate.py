"""Writes what is generated from Settings and rules: `python docs/generate.py`. A test says when it must run again."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reaper_ops.formats.doctor import runbook  # noqa: E402 - the checkout is put on the path first
from reaper_ops.formats.inventory import contracts  # noqa: E402 - as above


def main() -> None:
    for old in (ROOT / runbook.ROOM).glob("*.md"):
        old.unlink()
    for name, text in {**contracts.role_files(), **runbook.files()}.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    settings = ROOT / "docs" / "settings.md"
    settings.write_text(contracts.inserted(settings.read_text(encoding="utf-8")), encoding="utf-8")


main()
