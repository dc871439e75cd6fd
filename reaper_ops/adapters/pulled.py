"""What was brought by the API, beside the inventory: nothing can be kept on a host that is reached by its API alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reaper_ops.adapters import inventory_files as beside
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.facts import store
from reaper_ops.core.facts.model import Fetched
from reaper_ops.core.models import names
from reaper_ops.errors import CommandError

SCHEMA = "reaper-ops/models.pulled/1"
Kept = dict[str, dict[str, Any]]


def place(source: Source) -> Path:
    return beside.place(source.inventory, beside.RECORD)


def _read(path: Path) -> Kept:
    """What cannot be read costs only what it knew."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {str(host): dict(rows) for host, rows in document["hosts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def fetched(path: Path) -> dict[str, dict[str, Fetched]]:
    """What our pulls brought, by host and name."""
    return {host: store.fetched(rows) for host, rows in _read(path).items()}


def add(path: Path, host_rows: Mapping[str, Iterable[Mapping[str, Any]]], now: float) -> None:
    kept = _read(path)
    for host, rows in host_rows.items():
        for row in rows:
            if row["changed"] and not row["error"]:
                told = {key: row[key] for key in ("digest", "bytes", "seconds")}
                kept.setdefault(host, {})[row["name"]] = {**told, "time": int(now)}
    _write(path, kept)


def forget(path: Path, gone: Iterable[tuple[str, str]]) -> None:
    """Models that were removed are no longer ours."""
    kept = _read(path)
    keys = {(host, names.key(name)) for host, name in gone}
    left = {
        host: {name: row for name, row in rows.items() if (host, names.key(name)) not in keys}
        for host, rows in kept.items()
    }
    if left != kept:
        _write(path, left)


def _write(path: Path, kept: Kept) -> None:
    if not any(kept.values()) and not path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    document = {"schema": SCHEMA, "hosts": {host: rows for host, rows in sorted(kept.items()) if rows}}
    try:
        temporary.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        problem = f"cannot be written ({error.strerror}); `prune` will not know what was pulled"
        raise CommandError(str(path), problem, "make its directory writable, then pull again") from None
