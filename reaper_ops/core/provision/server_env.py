"""All variables of the server's environment, from the typed settings and `ollama_env`."""

from __future__ import annotations

import ipaddress

from reaper_ops.core.inventory import environment
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision.gpu_form import GpuForm
from reaper_ops.core.provision.layout import Layout

ALWAYS_LOCAL = ("localhost", "127.0.0.1", "::1")
CONTAINER_LISTEN = "0.0.0.0:11434"
HIDDEN = "-1"


def listen(bind: str, port: int) -> str:
    return f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"


def reachable(bind: str) -> str:
    """The address at which the host itself reaches a server that listens on `bind`."""
    address = ipaddress.ip_address(bind)
    if not address.is_unspecified:
        return bind
    return "127.0.0.1" if address.version == 4 else "::1"


def boolean(value: str | int | bool) -> str:
    """Go reads any text but its own few words as true; 1 and 0 are always safe."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def build(settings: Settings, layout: Layout, gpu: GpuForm) -> dict[str, str]:
    docker = settings.ollama_runtime == "docker"
    values: dict[str, str] = {}
    if not docker:
        values["HOME"] = layout.home
        values["OLLAMA_MODELS"] = layout.models_dir
    values["OLLAMA_HOST"] = CONTAINER_LISTEN if docker else listen(settings.ollama_bind, settings.ollama_port)
    values |= environment.from_typed(dict(settings))
    values |= {name: _safe(settings, name, value) for name, value in settings.ollama_env.items()}
    values |= _proxy(settings)
    values |= _visible(settings, gpu)
    values |= _lab(settings, layout)
    return values


def _safe(settings: Settings, name: str, value: str | int | bool) -> str:
    row = environment.known(settings.ollama_version).get(name, {})
    if row.get("kind") == "bool":
        return boolean(str(boolean(value)) in environment.GO_TRUE)
    return boolean(value)


def _proxy(settings: Settings) -> dict[str, str]:
    values: dict[str, str] = {}
    if settings.ollama_https_proxy:
        values["HTTPS_PROXY"] = settings.ollama_https_proxy
    if settings.ollama_https_proxy or settings.ollama_no_proxy:
        values["NO_PROXY"] = ",".join(dict.fromkeys((*ALWAYS_LOCAL, *settings.ollama_no_proxy)))
    return values


def _lab(settings: Settings, layout: Layout) -> dict[str, str]:
    """What a simulated server reads: which GPU it presents, and where its faults are switched on."""
    if not settings.lab_expect:
        return {}
    values = {"REAPER_OPS_LAB_FAULTS": f"{layout.home}/faults.json"}
    return values | ({"REAPER_OPS_LAB_GPU": settings.lab_gpu} if settings.lab_gpu else {})


def _visible(settings: Settings, gpu: GpuForm) -> dict[str, str]:
    """A container sees only what it is given; elsewhere the GPU libraries are told which devices to use."""
    if settings.gpu_vendor == "none" and settings.ollama_runtime == "process":
        names = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES")
        return dict.fromkeys(names, HIDDEN)
    if not settings.gpu_devices:
        return {}
    if gpu.vendor == "amd":
        return {"ROCR_VISIBLE_DEVICES": ",".join(settings.gpu_devices)}
    if settings.ollama_runtime == "docker":
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(settings.gpu_devices)}
