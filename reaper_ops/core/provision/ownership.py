"""What reaper_ops owns on a host: only what it brought, so that `down` removes that and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision.plan import Desired, Plan

Entries = dict[str, Any]
REPOSITORIES = {
    f"{role}/repository": (
        f"/etc/apt/sources.list.d/reaper_ops-{name}.sources",
        f"/etc/apt/keyrings/reaper_ops-{name}.asc",
        f"/etc/yum.repos.d/reaper_ops-{name}.repo",
    )
    for role, name in (("docker", "docker"), ("gpu", "nvidia"))
}
PACKAGES = ("baseline/packages", "swap/package", "docker/packages", "gpu/toolkit", "gpu/driver")


def entries(
    settings: Settings, context: Mapping[str, Any], files: Sequence[Desired], plan: Plan, *, server: bool = True
) -> Entries:
    """The manifest's entries that this plan adds; what was there before us is never among them."""
    todo, targets = set(plan.todo), plan.targets()
    found: Entries = {
        "files": {file.path: hashlib.sha256(file.content.encode()).hexdigest() for file in files},
        "packages": [name for id_ in PACKAGES for name in targets.get(id_, [])],
    }
    found["files"] |= {path: None for id_, paths in REPOSITORIES.items() if id_ in todo for path in paths}
    if "swap/file" in todo:
        found |= {"swap": [settings.swap_path], "fstab": [settings.swap_path]}
    if "gpu/daemon" in todo:
        found["json"] = {"/etc/docker/daemon.json": ["runtimes/nvidia", "features/cdi"]}
    more = RUNTIMES[settings.ollama_runtime](settings, context, todo) if server else {}
    return {**found, **more, "files": {**found["files"], **more.get("files", {})}}


def _systemd(settings: Settings, context: Mapping[str, Any], todo: set[str]) -> Entries:
    paths = context["paths"]
    found: Entries = {
        "links": {paths["bin_link"]: f"{paths['link']}/bin/ollama"} if "ollama/link" in todo else {},
        "releases": [paths["release_dest"].rsplit("/", 1)[0]],
        "directories": [f"{paths['unit']}.d", *_models(settings, context, todo)],
        "models": [context["models_dir"]],
    }
    if context["adopt"]:
        found["adopted"] = {"ollama.service": None}
    else:
        found |= {"units": ["ollama.service"], "state": [context["home"]]}
    if "ollama/user" in todo:
        found |= {"users": [context["user"]], "groups": [context["group"]]}
    return found


def _process(settings: Settings, context: Mapping[str, Any], todo: set[str]) -> Entries:
    paths = context["paths"]
    return {
        "processes": [paths["env_json"]],
        "releases": [paths["release_dest"].rsplit("/", 1)[0]],
        "links": {paths["link"]: paths["release_dest"]},
        "files": {paths["env_json"]: None, paths["log"]: None, paths["pid"]: None},
        "directories": [context["home"]],
        "models": [context["models_dir"]],
    }


def _docker(settings: Settings, context: Mapping[str, Any], todo: set[str]) -> Entries:
    paths, compose = context["paths"], context["compose"]
    runs = todo & {"ollama/container", "ollama/adopt"}
    found: Entries = {
        "projects": {compose["project"]: paths["compose"]},
        "images": [context["image"]] if runs and not compose["image_there"] else [],
        "volumes": [compose["own_volume"]] if compose["own_volume"] else [],
        "directories": [paths["compose"].rsplit("/", 1)[0], *_models(settings, context, todo)],
    }
    if "ollama/adopt" in todo:
        found["containers"] = {compose["replaced"]: compose["replaces"]}
    return found


def _models(settings: Settings, context: Mapping[str, Any], todo: set[str]) -> list[str]:
    return [context["models_dir"]] if "ollama/models-dir" in todo else []


RUNTIMES = {"systemd": _systemd, "process": _process, "docker": _docker}
