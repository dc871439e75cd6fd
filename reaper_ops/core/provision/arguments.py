"""What each action's tasks are given, so that a confirmed action runs with nothing else: names under `reaper`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts.model import Facts
from reaper_ops.core.provision.confirmed import ConfirmedStep, Steps, digest
from reaper_ops.core.provision.plan.model import Desired, Plan, redact

_REPOSITORY = ("family", "os_id", "codename", "arch")

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "baseline/packages": ("family",),
    "swap/package": ("family",),
    "swap/zram": (),
    "swap/zram-start": (),
    "swap/file": ("swap.path", "swap.size"),
    "swap/sysctl": ("paths.sysctl",),
    "docker/repository": ("sources.docker", *_REPOSITORY),
    "docker/packages": ("family",),
    "docker/enable": (),
    "docker/start": (),
    "gpu/driver": ("sources.driver_packages", "family", "os_id"),
    "gpu/modules": (),
    "gpu/repository": ("sources.nvidia", *_REPOSITORY),
    "gpu/toolkit": ("family",),
    "gpu/cdi": (),
    "gpu/daemon": ("sources.daemon",),
    "ollama/user": ("user", "home"),
    "ollama/release": ("version", "archives", "paths.release_dest", "paths.link", "proxy"),
    "ollama/link": ("paths.link", "paths.bin_link"),
    "ollama/models-dir": ("models_dir", "user", "group"),
    "ollama/unit": (),
    "ollama/settings": ("paths.dropin",),
    "ollama/compose": ("paths.compose",),
    "ollama/environment": ("home",),
    "ollama/former-settings": ("paths.dropin",),
    "ollama/enable": (),
    "ollama/start": ("paths.env_json", "config_hash"),
    "ollama/restart": ("paths.env_json", "config_hash"),
    "ollama/container": ("compose.project", "paths.compose", "config_hash"),
    "ollama/adopt": (
        *("compose.project", "compose.replaced", "compose.replaces", "paths.compose", "config_hash"),
        *("local_url", "start_timeout"),
    ),
    "models/pull": ("local_url", "mirrored", "insecure_registries", "models_dir", "proxy", "paths.manifest"),
    "manifest/record": ("paths.manifest",),
}


def steps(plan: Plan, reaper: Mapping[str, Any], files: Mapping[str, Desired], facts: Facts) -> Steps:
    """The actions of a plan as they are confirmed: targets with their reasons, and the digest of all arguments."""
    found: dict[str, dict[str, str]] = {}
    for action in plan.actions:
        found.setdefault(action.id, {})[redact(action.target)] = redact(action.reason)
    return {
        id_: ConfirmedStep(targets, digest([_arguments(id_, reaper), _file(files.get(id_), reaper, facts)]))
        for id_, targets in found.items()
    }


def _arguments(id_: str, reaper: Mapping[str, Any]) -> dict[str, Any]:
    return {path: _at(reaper, path) for path in ARGUMENTS[id_]}


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _file(file: Desired | None, reaper: Mapping[str, Any], facts: Facts) -> list[Any]:
    """The file as it will be written, and what it replaces: an edit made since was never shown."""
    if file is None:
        return []
    there = facts.files.get(file.path)
    return [reaper["targets"].get(file.id), file.content, (there.sha256 or there.content) if there else None]
