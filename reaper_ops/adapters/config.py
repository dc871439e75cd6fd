"""What the user told us to remember, in `$XDG_CONFIG_HOME/reaper_ops/config.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reaper_ops.errors import ReaperError


def path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "reaper_ops" / "config.json"


def read() -> dict[str, Any]:
    try:
        found = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ReaperError(str(path()), f"cannot be read: {error}", "correct the file, or remove it") from None
    if not isinstance(found, dict):
        raise ReaperError(str(path()), "is not a JSON object", "correct the file, or remove it")
    return found


def write(values: Mapping[str, Any]) -> None:
    """Written beside and renamed into place, so a broken write leaves the old file."""
    target = path()
    beside = target.with_suffix(".new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        beside.replace(target)
    except OSError as error:
        raise ReaperError(str(target), f"cannot be written: {error}", "check the directory's owner") from None
