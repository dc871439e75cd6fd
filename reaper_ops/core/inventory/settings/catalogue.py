"""Which role uses a setting, an example of each, and every setting as a row: for READMEs, contracts and schemas."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reaper_ops.core.inventory.settings.mirror import MirrorSettings
from reaper_ops.core.inventory.settings.whole import Settings
from reaper_ops.core.values import binary_size

ROLES: Mapping[str, tuple[str, ...]] = {
    "baseline": ("ollama_managed", "ollama_runtime"),
    "swap": ("swap_kind", "swap_size", "swap_path", "swap_swappiness"),
    "docker": ("docker_install", "docker_source"),
    "gpu": ("gpu_vendor", "gpu_devices", "gpu_require", "gpu_install_driver"),
    "ollama": (
        "ollama_version",
        "ollama_accepted_vulnerabilities",
        "ollama_release_sha256",
        "ollama_release_url",
        "ollama_image",
        "ollama_adopt",
        "ollama_bind",
        "ollama_port",
        "ollama_base_url",
        "exposure",
        "ollama_models_dir",
        "ollama_home",
        "ollama_keep_alive",
        "ollama_load_timeout",
        "ollama_num_parallel",
        "ollama_max_loaded_models",
        "ollama_prompt_cache",
        "ollama_max_queue",
        "ollama_context_length",
        "ollama_flash_attention",
        "ollama_kv_cache_type",
        "ollama_sched_spread",
        "ollama_no_cloud",
        "ollama_debug",
        "ollama_origins",
        "ollama_https_proxy",
        "ollama_no_proxy",
        "ollama_memory_max",
        "ollama_env",
        "ollama_start_timeout",
    ),
    "models": (
        "ollama_models",
        "ollama_model_sets",
        "ollama_insecure_registries",
        "ollama_mirror",
        "ollama_mirror_registries",
        "ollama_mirror_sources",
    ),
    "mirror": tuple(MirrorSettings.model_fields),
}
REHEARSAL = tuple(name for name in Settings.model_fields if name.startswith("lab_"))

PURPOSES: Mapping[str, str] = {
    "baseline": "What every host needs first: how the server runs, and the packages for that.",
    "swap": "Swap as asked: none, a file, or zram.",
    "docker": "The Docker engine and Compose v2, for the docker runtime.",
    "gpu": "The GPU, from the PCI bus to the container: driver when asked, toolkit, CDI.",
    "ollama": "The server: its release or image, its unit or Compose project, and its settings.",
    "models": "The models on disk, pulled over the API of the server.",
    "mirror": "The site mirror: one copy of each model over the internet, and a registry for own models.",
}

EXAMPLES: Mapping[str, Any] = {
    "ollama_release_sha256": "c620917a71e146ab3a7f893084f066069c4c65d144ef8379a91c3cbe8b27de8f",
    "ollama_accepted_vulnerabilities": {"0.34.4": ["CVE-2026-103663"]},
    "ollama_release_url": "https://mirror.example.org/ollama",
    "ollama_image": "registry.example.org/ollama/ollama:0.35.1",
    "ollama_base_url": "https://llm.example.org",
    "ollama_models_dir": "/data/ollama/models",
    "ollama_home": "/scratch/me/ollama",
    "ollama_models": ["@guide", "llama3:8b"],
    "ollama_model_sets": {"guide": ["llama3", "deepseek-r1:32b", "mistral", "codellama"]},
    "ollama_insecure_registries": ["registry.example.org:5000"],
    "ollama_mirror": "http://models.example.org",
    "ollama_mirror_sources": {"hf.co": 8081},
    "ollama_keep_alive": "30m",
    "ollama_load_timeout": "10m",
    "ollama_num_parallel": 4,
    "ollama_max_loaded_models": 2,
    "ollama_prompt_cache": 2048,
    "ollama_max_queue": 64,
    "ollama_context_length": 8192,
    "ollama_flash_attention": True,
    "ollama_kv_cache_type": "q8_0",
    "ollama_sched_spread": True,
    "ollama_no_cloud": True,
    "ollama_debug": True,
    "ollama_origins": ["https://chat.example.org"],
    "ollama_https_proxy": "http://proxy.example.org:3128",
    "ollama_no_proxy": ["registry.example.org"],
    "ollama_memory_max": "24G",
    "ollama_env": {"OLLAMA_NOPRUNE": True},
    "mirror_runtime": "systemd",
    "mirror_bind": "10.0.0.5",
    "mirror_dir": "/data/mirror",
    "mirror_sources": {"hf.co": 8081},
    "mirror_allow": ["10.0.0.0/8"],
    "mirror_rate": "50M",
    "mirror_resolvers": ["10.0.0.1"],
    "gpu_devices": ["GPU-4f2a8d1c-5b6e-7f80-9a1b-2c3d4e5f6071"],
    "swap_size": "16G",
    "lab_facts_root": "/tmp/rehearsal/facts",  # noqa: S108 - an example, never opened
    "lab_gpu": "nvidia:24G",
    "lab_fault": "refuse",
    "lab_expect": "connection-refused",
}
SIZES = ("swap_size", "ollama_memory_max", "mirror_cache_size", "mirror_min_free", "mirror_slice", "mirror_rate")


@dataclass(frozen=True)
class SettingRow:
    """One setting. default and example are as one writes them in YAML; kind is Ansible's word for the type."""

    name: str
    role: str
    kind: str
    choices: tuple[str, ...]
    default: Any
    example: Any
    help: str


def rows() -> tuple[SettingRow, ...]:
    return tuple(_row(name, role) for role, names in ROLES.items() for name in names)


def rehearsal_rows() -> tuple[SettingRow, ...]:
    return tuple(_row(name, "") for name in REHEARSAL)


def default(name: str) -> Any:
    """The default as one writes it: sizes with a unit, lists and maps as YAML has them."""
    value = getattr(Settings.model_validate({}), name)
    if isinstance(value, tuple):
        return list(value)
    return binary_size(value) if name in SIZES and value is not None else value


def _row(name: str, role: str) -> SettingRow:
    field = Settings.model_fields[name]
    return SettingRow(
        name=name,
        role=role,
        kind=_kind(name, field.annotation),
        choices=_choices(field.annotation),
        default=default(name),
        example=EXAMPLES.get(name),
        help=field.description or "",
    )


def _members(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return [part for part in typing.get_args(annotation) if part is not type(None)]
    return [annotation]


def _choices(annotation: Any) -> tuple[str, ...]:
    [*parts] = _members(annotation)
    return typing.get_args(parts[0]) if typing.get_origin(parts[0]) is Literal else ()


def _plain(annotation: Any) -> Any:
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return typing.get_origin(annotation) or annotation


KINDS = {bool: "bool", int: "int", str: "str", tuple: "list", dict: "dict", Literal: "str"}


def _kind(name: str, annotation: Any) -> str:
    if name in SIZES:
        return "str"
    kinds = {KINDS[_plain(part)] for part in _members(annotation)}
    return kinds.pop() if len(kinds) == 1 else "raw"
