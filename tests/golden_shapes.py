"""The golden shapes, as values."""

from __future__ import annotations

import json
from pathlib import Path

from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/settings.json"))


def shape(name: str) -> tuple[Settings, Facts]:
    folder = GOLDEN / name
    settings = Settings(**json.loads((folder / "settings.json").read_text()))
    return settings, codec.load(name, json.loads((folder / "facts.json").read_text()))


def written(name: str) -> dict[str, str]:
    files = GOLDEN / name / "files"
    return {f"/{path.relative_to(files)}": path.read_text() for path in files.rglob("*") if path.is_file()}


def with_file(ending: str) -> list[str]:
    """Shapes that have a file whose path ends so."""
    return [name for name in NAMES if any(path.endswith(ending) for path in written(name))]
