"""SettingsFields that are right alone and wrong together: each rule gives the setting to change, and why."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Mapping

from reaper_ops.core.inventory import environment
from reaper_ops.core.inventory.settings.model import SettingsFields

FIRST_FREE_PORT = 1024
Problems = Iterable[tuple[str, str]]


class SetError(ValueError):
    """A model set that is missing or contains itself."""


def exposure(s: SettingsFields) -> Problems:
    loopback = ipaddress.ip_address(s.ollama_bind).is_loopback
    if s.exposure == "loopback" and not loopback:
        yield (
            "ollama_bind",
            f"{s.ollama_bind} is reachable from outside, but exposure is loopback; "
            "Ollama has no authentication: set `exposure: open` if that is meant",
        )
    if s.exposure == "open" and loopback:
        yield "exposure", f"is open, but ollama_bind is {s.ollama_bind}; set `ollama_bind: 0.0.0.0`"


def gpu(s: SettingsFields) -> Problems:
    if s.gpu_require and s.gpu_vendor == "none":
        yield "gpu_require", "is true, but gpu_vendor is none"
    if s.gpu_install_driver and s.gpu_vendor in {"none", "amd"}:
        yield "gpu_install_driver", f"installs NVIDIA's driver, but gpu_vendor is {s.gpu_vendor}"
    if s.gpu_devices and s.gpu_vendor == "none":
        yield "gpu_devices", "names GPUs, but gpu_vendor is none"
    of_amd = [len(name) == len("GPU-") + 16 for name in s.gpu_devices if not name.isdigit()]
    if s.gpu_vendor == "amd" and not all(of_amd):
        yield "gpu_devices", "holds UUIDs of NVIDIA, but gpu_vendor is amd; `rocminfo` prints those of AMD"
    if s.gpu_vendor == "nvidia" and any(of_amd):
        yield "gpu_devices", "holds UUIDs of AMD, but gpu_vendor is nvidia; `nvidia-smi -L` prints those of NVIDIA"


def without_root(s: SettingsFields) -> Problems:
    if s.ollama_runtime != "process":
        return
    if s.swap_kind != "none":
        yield "swap_kind", "swap needs root, but ollama_runtime is process; set `swap_kind: none`"
    if s.gpu_install_driver:
        yield "gpu_install_driver", "a driver needs root, but ollama_runtime is process"
    if s.ollama_memory_max is not None:
        yield "ollama_memory_max", "nothing enforces it when ollama_runtime is process; use systemd or docker"


def runtime(s: SettingsFields) -> Problems:
    if s.ollama_runtime != "docker" and s.ollama_image:
        yield "ollama_image", f"is for `ollama_runtime: docker`, but it is {s.ollama_runtime}"
    if s.ollama_runtime != "process" and s.ollama_home:
        yield "ollama_home", f"is for `ollama_runtime: process`, but it is {s.ollama_runtime}; use ollama_models_dir"
    if s.ollama_runtime == "process" and s.ollama_adopt:
        yield "ollama_adopt", f"takes over a systemd unit or a container, but ollama_runtime is {s.ollama_runtime}"


def cache_type(s: SettingsFields) -> Problems:
    if s.ollama_flash_attention is False and s.ollama_kv_cache_type in {"q8_0", "q4_0"}:
        yield (
            "ollama_kv_cache_type",
            f"{s.ollama_kv_cache_type} needs flash attention, but ollama_flash_attention is false",
        )


def version(s: SettingsFields) -> Problems:
    oldest = environment.oldest()
    if environment.version_key(s.ollama_version) < environment.version_key(oldest):
        yield "ollama_version", f"{s.ollama_version} is older than {oldest}, the oldest that is supported"
        return
    yield from environment.typed_problems(s.ollama_version, dict(s))
    yield from environment.problems(s.ollama_version, s.ollama_env)


def mirror(s: SettingsFields) -> Problems:
    if s.mirror_runtime == "none":
        return
    if s.mirror_runtime == "process" and s.mirror_port < FIRST_FREE_PORT:
        yield "mirror_port", f"{s.mirror_port} needs root, but mirror_runtime is process; write 8080"
    if s.mirror_rate is not None and 60 * s.mirror_rate < s.mirror_slice:
        yield "mirror_rate", f"one piece (mirror_slice, {s.mirror_slice} bytes) would take more than a minute; lower it"
    if s.mirror_port in s.mirror_sources.values():
        yield "mirror_sources", f"has port {s.mirror_port}, which is that of the mirror itself"
    if s.ollama_managed and s.mirror_port == s.ollama_port:
        yield "mirror_port", f"{s.mirror_port} is that of Ollama on the same host"


def sets(s: SettingsFields) -> Problems:
    places = {f"ollama_model_sets/{name}": names for name, names in s.ollama_model_sets.items()}
    for place, names in {**places, "ollama_models": s.ollama_models}.items():
        try:
            expand(names, s.ollama_model_sets)
        except SetError as error:
            yield place, str(error)
            return


RULES: tuple[Callable[[SettingsFields], Problems], ...] = (
    exposure,
    gpu,
    without_root,
    runtime,
    cache_type,
    mirror,
    version,
    sets,
)


def problems(settings: SettingsFields) -> list[tuple[str, str]]:
    """(setting, problem) of everything that cannot go together."""
    return [problem for rule in RULES for problem in rule(settings)]


def expand(names: tuple[str, ...], known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Model names with sets resolved, in order, each once; SetError for a missing or circular set."""
    return tuple(dict.fromkeys(_expand(names, known, ())))


def _expand(names: tuple[str, ...], known: Mapping[str, tuple[str, ...]], inside: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for name in names:
        if not name.startswith("@"):
            found.append(name)
            continue
        key = name[1:]
        if key in inside:
            raise SetError(f"model set @{key} contains itself: {' -> '.join((*inside, key))}")
        if key not in known:
            close = difflib.get_close_matches(key, list(known), n=1)
            hint = f"; did you mean @{close[0]}?" if close else ""
            raise SetError(f"model set @{key} is not in ollama_model_sets{hint}")
        found += _expand(known[key], known, (*inside, key))
    return found
