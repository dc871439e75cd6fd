"""How the server is given its GPU: the form for this engine and Compose, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from reaper_ops.core.facts.gpu_chain import DeviceNode
from reaper_ops.core.facts.model import Docker, Facts
from reaper_ops.core.inventory.settings import Settings

CDI_DEFAULT = (28, 2)
CDI_07 = (26, 1)
CDI_FIRST = (25, 0)
COMPOSE_CDI = (2, 30)
TOOLKIT_CDI_07 = (1, 19)


@dataclass(frozen=True)
class GpuForm:
    """form: none, native, devices (AMD in a container), cdi, cdi-deploy, gpus or deploy (NVIDIA in a container)."""

    vendor: str
    form: str
    reason: str
    devices: tuple[str, ...] = ()
    gids: tuple[int, ...] = ()
    nodes: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    cdi_feature: bool = False


def version(text: str | None) -> tuple[int, int] | None:
    """Major and minor of `28.2.2`, `v2.26.1-4`, `NVIDIA Container Toolkit CLI version 1.18.0`; None when none."""
    match = re.search(r"(\d{1,9})\.(\d{1,9})", text or "")
    return (int(match[1]), int(match[2])) if match else None


def choose(settings: Settings, facts: Facts) -> GpuForm:
    vendor, why = _vendor(settings, facts)
    if vendor == "none":
        return GpuForm("none", "none", why)
    if settings.ollama_runtime != "docker":
        return _native(vendor, why, settings, facts)
    if vendor == "amd":
        return _amd_container(facts)
    if settings.gpu_vendor == "auto" and not settings.gpu_devices and not has_driver(settings, facts):
        return GpuForm("nvidia", "none", "an NVIDIA GPU is there, but its kernel driver is not", modules=())
    return _nvidia_container(settings, facts)


def has_driver(settings: Settings, facts: Facts) -> bool:
    gpu = facts.gpu
    return bool(settings.gpu_install_driver or gpu.driver or gpu.nvidia or "nvidia" in gpu.modules)


def _vendor(settings: Settings, facts: Facts) -> tuple[str, str]:
    if settings.gpu_vendor != "auto":
        return settings.gpu_vendor, f"gpu_vendor is {settings.gpu_vendor}"
    seen = "nvidia" if facts.system.jetpack else facts.gpu.vendor()
    if seen != "none":
        return seen, "found on the host"
    if settings.gpu_devices:
        return "nvidia", "gpu_devices are given"
    return "none", "no GPU was found or asked for"


def _native(vendor: str, why: str, settings: Settings, facts: Facts) -> GpuForm:
    nodes = facts.gpu.nodes
    if vendor == "amd":
        allow: tuple[str, ...] = ("char-kfd", "char-drm")
        gids = _gids(nodes, ("/dev/kfd", "/dev/dri/"))
    else:
        paths = {node.path for node in nodes}
        allow = ("char-nvidia*", "char-drm", *(("/dev/dxg",) if "/dev/dxg" in paths else ()))
        gids = _gids(nodes, ("/dev/nvidia", "/dev/nvmap", "/dev/nvhost", "/dev/dri/"))
    modules = _modules(vendor, settings, facts)
    return GpuForm(vendor, "native", why, settings.gpu_devices, gids, (), allow, modules)


def _modules(vendor: str, settings: Settings, facts: Facts) -> tuple[str, ...]:
    """Loaded at boot so that the device nodes are there before the server looks for them."""
    if vendor != "nvidia" or facts.system.jetpack or facts.system.container or not has_driver(settings, facts):
        return ()
    return ("nvidia", "nvidia_uvm")


def _gids(nodes: Sequence[DeviceNode], prefixes: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(sorted({node.gid for node in nodes if node.gid != 0 and node.path.startswith(prefixes)}))


def _amd_container(facts: Facts) -> GpuForm:
    return GpuForm(
        "amd",
        "devices",
        "AMD GPUs reach a container as device nodes, with the numeric groups that own them",
        gids=_gids(facts.gpu.nodes, ("/dev/kfd", "/dev/dri/")),
        nodes=("/dev/kfd", "/dev/dri"),
    )


def _nvidia_container(settings: Settings, facts: Facts) -> GpuForm:
    docker = facts.docker
    modules = _modules("nvidia", settings, facts)
    devices = settings.gpu_devices
    if docker is None or docker.engine is None:
        why = "engine and Compose versions are not known, and every Compose v2 reads this form"
        return GpuForm("nvidia", "deploy", why, devices, modules=modules)
    new_compose = (version(docker.compose) or (0, 0)) >= COMPOSE_CDI
    obstacle = _cdi_obstacle(settings, facts, docker)
    if obstacle is None:
        feature = (version(docker.engine) or (0, 0)) < CDI_DEFAULT
        why = "CDI, which survives `systemctl daemon-reload`; "
        if new_compose:
            why += "the engine reads CDI, and Compose 2.30 or newer names CDI devices directly"
            return GpuForm("nvidia", "cdi", why, _cdi_names(devices), modules=modules, cdi_feature=feature)
        why += "the engine reads CDI, but Compose older than 2.30 names CDI devices only by a reservation"
        return GpuForm("nvidia", "cdi-deploy", why, _cdi_names(devices), modules=modules, cdi_feature=feature)
    if new_compose:
        return GpuForm("nvidia", "gpus", f"{obstacle}; Compose 2.30 or newer reads `gpus`", devices, modules=modules)
    return GpuForm("nvidia", "deploy", f"{obstacle}; Compose older than 2.30", devices, modules=modules)


def _cdi_names(devices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"nvidia.com/gpu={device}" for device in devices or ("all",))


def _cdi_obstacle(settings: Settings, facts: Facts, docker: Docker) -> str | None:
    """Why CDI cannot be used. Its switch in daemon.json and its spec are no obstacle: role `gpu` writes both."""
    if facts.system.jetpack:
        return "Jetson boards use NVIDIA's legacy runtime"
    toolkit = version(facts.gpu.toolkit)
    old_spec = toolkit is not None and toolkit < TOOLKIT_CDI_07
    needed = CDI_FIRST if old_spec else CDI_07
    if (version(docker.engine) or (0, 0)) < needed:
        return f"the engine is too old for CDI {'0.6' if old_spec else '0.7'} (needs {needed[0]}.{needed[1]})"
    if _switched_off(docker.daemon_json):
        return "CDI is switched off in daemon.json"
    known = facts.gpu.cdi or ()
    absent = [name for name in _cdi_names(settings.gpu_devices) if known and name not in known]
    if absent:
        return f"the host's CDI spec does not name {absent[0]}"
    return None


def _switched_off(daemon_json: str | None) -> bool:
    try:
        document = json.loads(daemon_json or "{}")
    except ValueError:
        return False
    features = document.get("features") if isinstance(document, dict) else None
    return isinstance(features, dict) and features.get("cdi") is False
