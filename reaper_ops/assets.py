"""Finds and reads the files that ship with the package: playbooks, templates, inventories, data."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


@cache
def root() -> Path:
    """The directory that holds ``playbooks/``, ``templates/`` and ``inventories/``: in a wheel or a checkout."""
    shipped = _PACKAGE / "_assets"
    return shipped if shipped.is_dir() else _PACKAGE.parent


def playbook(name: str) -> Path:
    return root() / "playbooks" / name


def inventory(name: str) -> Path:
    return root() / "inventories" / name


def templates() -> Path:
    return root() / "templates"


@cache
def data(name: str) -> Any:
    """A JSON table of the package, such as ``releases.json``."""
    return json.loads((_PACKAGE / "data" / name).read_text(encoding="utf-8"))
