"""Files that we write or share, and the manifest of what we own. Only what exists is in the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, as_json, text, whole
from reaper_ops.core.facts.model import HostFile
from reaper_ops.core.inventory.settings import Settings

UNIT = f"/etc/systemd/system/{places.UNIT}"
SYSTEMD = (
    *(
        UNIT,
        f"{UNIT}.d/zz-reaper_ops.conf",
        f"{UNIT}.d/10-reaper_ops.conf",
        "/etc/reaper_ops/compose.yaml",
        "/etc/docker/daemon.json",
    ),
    *(
        places.STATE,
        "/opt/ollama/current",
        "/usr/local/bin/ollama",
        "/etc/fstab",
        "/etc/sysctl.d/90-reaper_ops-swap.conf",
    ),
    *("/etc/systemd/zram-generator.conf", "/etc/modules-load.d/reaper_ops-gpu.conf"),
    *("/etc/apt/sources.list.d/reaper_ops-docker.sources", "/etc/apt/keyrings/reaper_ops-docker.asc"),
    *("/etc/apt/sources.list.d/reaper_ops-nvidia.sources", "/etc/apt/keyrings/reaper_ops-nvidia.asc"),
    *("/etc/yum.repos.d/reaper_ops-docker.repo", "/etc/yum.repos.d/reaper_ops-nvidia.repo"),
)
BODILESS = {places.STATE, "/usr/local/bin/ollama", "/opt/ollama/current"}


def asks(settings: Settings) -> list[Ask]:
    if settings.ollama_runtime == "process":
        base = places.home(settings)
        paths = [f"{base}/{name}" for name in ("current", "env.json")]
        manifest = f"{base}/reaper_ops/manifest.json"
        bodiless = {f"{base}/current"}
    else:
        paths, manifest, bodiless = list(SYSTEMD), "/var/lib/reaper_ops/manifest.json", set(BODILESS)
    for path in (settings.ollama_models_dir, settings.swap_path if settings.swap_kind == "file" else None):
        if path:
            paths.append(path)
            bodiless.add(path)
    found: list[Ask] = [{"id": f"file {path}", "kind": "file", "path": path} for path in paths]
    for ask in found:
        if ask["path"] in bodiless:
            ask["max_bytes"] = 0
    return [*found, {"id": "manifest", "kind": "file", "path": manifest}]


def parse(answers: Answers) -> dict[str, HostFile]:
    rows = (answers.get(id_) for id_ in answers.raw if id_.startswith("file "))
    return {file.path: file for file in map(_file, rows) if file is not None}


def parse_manifest(answers: Answers) -> dict[str, object] | None:
    found = as_json(answers.content("manifest"))
    return found if isinstance(found, dict) else None


def _file(row: Mapping[str, Any]) -> HostFile | None:
    path = text(row.get("path"))
    if path is None or not row.get("exists"):
        return None
    kind = text(row.get("kind")) or ""
    return HostFile(
        path=path,
        content=text(row.get("content")),
        mode=text(row.get("mode")),
        link=text(row.get("link")),
        kind=kind,
        sha256=text(row.get("sha256")),
        uid=whole(row.get("uid")),
        gid=whole(row.get("gid")),
        size=whole(row.get("size")),
        mtime=whole(row.get("mtime")),
    )
