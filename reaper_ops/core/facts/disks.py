"""Room on the file systems that we write to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, mapping, text, whole
from reaper_ops.core.facts.model import Disk
from reaper_ops.core.inventory.settings import Settings

WRITTEN: dict[str, list[str]] = {
    "systemd": ["/etc", "/opt", "/usr/local/bin", "/var/lib"],
    "docker": ["/etc", "/var/lib"],
    "process": [],
}


def asks(settings: Settings) -> list[Ask]:
    paths = [f"{places.releases(settings)}/{settings.ollama_version}", places.models(settings)]
    if settings.swap_kind == "file":
        paths.append(settings.swap_path)
    if settings.ollama_runtime == "docker":
        paths = [places.models(settings), places.DOCKER_ROOT, *paths[2:]]
    written = WRITTEN[settings.ollama_runtime] or [places.home(settings)]
    return [
        {"id": "disks", "kind": "statvfs", "paths": [path for path in paths if path]},
        {"id": "written", "kind": "statvfs", "paths": written},
    ]


def parse_readonly(answers: Answers) -> tuple[str, ...]:
    """Directories that we would write to and cannot, each as it is named in the question."""
    rows = mapping(answers.get("written").get("paths"))
    return tuple(str(path) for path, row in rows.items() if mapping(row).get("readonly") is True)


def parse(settings: Settings, answers: Answers) -> dict[str, Disk]:
    """By path; the store inside a container counts as being where Docker keeps its volumes."""
    rows = [row for id_ in ("disks-more", "disks") for row in mapping(answers.get(id_).get("paths")).values()]
    found = {disk.path: disk for disk in map(_disk, map(mapping, rows)) if disk is not None}
    if settings.ollama_runtime == "docker" and not settings.ollama_models_dir and places.DOCKER_ROOT in found:
        found[places.DOCKER_MODELS] = found[places.DOCKER_ROOT]
    return found


def _disk(row: Mapping[str, Any]) -> Disk | None:
    path, mount, fstype = (text(row.get(name)) for name in ("path", "mount", "fstype"))
    free, total = whole(row.get("free")), whole(row.get("total"))
    if path is None or mount is None or fstype is None or free is None or total is None:
        return None
    inodes = whole(row.get("inodes_total")) or None
    return Disk(
        path,
        mount,
        fstype,
        free,
        total,
        whole(row.get("inodes_free")) if inodes else None,
        inodes,
        read_only=row.get("readonly") is True,
        noexec=row.get("noexec") is True,
    )
