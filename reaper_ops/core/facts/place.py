"""Directories that the inventory names: the way to them, what is in them, and who may do what there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import default_paths
from reaper_ops.core.facts.answers import Answers, Ask, mapping, text, whole
from reaper_ops.core.facts.model_store import Place, PlacePart
from reaper_ops.core.facts.running import server
from reaper_ops.core.inventory.settings import Settings


def asks(settings: Settings) -> list[Ask]:
    if settings.ollama_runtime == "process":
        return [{"id": "exposed", "kind": "exposed", "path": default_paths.home(settings)}]
    if not settings.ollama_models_dir or settings.ollama_runtime != "systemd":
        return []
    return [
        {
            "id": "place",
            "kind": "place",
            "path": settings.ollama_models_dir,
            "server": server(settings),
            "user": "ollama",
        }
    ]


def parse(answers: Answers) -> Place | None:
    row = answers.get("place")
    path, steps = text(row.get("path")), row.get("steps")
    if not path or not isinstance(steps, list):
        return None
    gids, denied = row.get("gids"), row.get("denied")
    return Place(
        path=path,
        exists=row.get("exists") is True,
        entries=whole(row.get("entries")),
        steps=tuple(step for step in (_step(mapping(one)) for one in steps) if step is not None),
        uid=whole(row.get("uid")),
        gids=tuple(gid for gid in map(whole, gids) if gid is not None) if isinstance(gids, list) else (),
        denied=tuple(str(one) for one in denied) if isinstance(denied, list) else None,
        root_may_write=row.get("root_may_write") is not False,
    )


def parse_exposed(answers: Answers) -> PlacePart | None:
    """Where another user than the one who runs the server as a process can change what its home holds."""
    return _step(mapping(answers.get("exposed").get("where")))


def _step(row: Mapping[str, Any]) -> PlacePart | None:
    path, mode, uid, gid = text(row.get("path")), text(row.get("mode")), whole(row.get("uid")), whole(row.get("gid"))
    if path is None or mode is None or uid is None or gid is None:
        return None
    return PlacePart(path, mode, uid, gid, text(row.get("owner")) or str(uid), row.get("directory") is True)
