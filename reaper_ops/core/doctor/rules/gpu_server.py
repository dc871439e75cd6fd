"""The links that the server shows itself: its container, its log, its models. The same for every vendor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.doctor.rules.gpu_link import Link
from reaper_ops.core.facts.answers import as_json, whole
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings

START = re.compile(r'msg="server config"')
COMPUTE = re.compile(r'msg="inference compute".{0,300}?\blibrary="?(\w{1,64})')
FAILURES = (
    (r'"NVIDIA driver too old".*', "nvidia-driver-too-old", "upgrade the driver to 570 or newer"),
    (r'"skipping CUDA device.*', "compute-capability-unsupported", "use the CPU, or OLLAMA_VULKAN=1"),
    (r'"dropping ROCm device.*', "amd-gfx-unsupported", "set HSA_OVERRIDE_GFX_VERSION, or OLLAMA_VULKAN=1"),
    (r'"dropping integrated GPU.*', "igpu-dropped", "set OLLAMA_IGPU_ENABLE: 1 in ollama_env"),
    (r'"user overrode visible devices".*', "visible-devices-misset", "unset that variable, or give UUIDs that exist"),
    (r"(?i)unable to open /dev/kfd.*", "amd-kfd-permission", "`usermod -aG render,video ollama`, then restart Ollama"),
    (r"watchdog timed out.*|before timeout.*", "amd-driver-too-old", "upgrade the kernel driver; AMD: for ROCm 7"),
    (r'"failure during .*', "gpu-library-missing", "look at the error in this line; reinstall the release"),
)
NO_REASON = "check that lib/ollama beside the program has cuda_* or rocm; restart with OLLAMA_DEBUG=1 for the reason"


def container(settings: Settings, facts: Facts) -> Link | None:
    there = facts.container
    if settings.ollama_runtime != "docker" or there is None:
        return None
    if there.state != "running" and re.search(r"device driver|nvidia|cdi", there.error, re.I):
        step = "`nvidia-ctk cdi list` and `docker info` show what the engine knows; then run `up` again"
        return Link("container-toolkit-missing", "container", there.error[:300], "a container that starts", step)
    if there.state == "running" and not there.gpu and not started_with_gpu(facts):
        seen = f"container {there.id[:12]} ({there.image}) was given no device"
        step = "recreate it with the GPU: `reaper-ops up`"
        return Link("container-no-gpu-flag", "container", seen, "the GPU in the container", step)
    return None


def log(settings: Settings, facts: Facts) -> Link | None:
    """The server says at each start on what it computes; only its last start counts."""
    libraries = _libraries(facts)
    if not libraries or any(name != "cpu" for name in libraries):
        return None
    start = last_start(facts.journal or "")
    for pattern, id_, step in FAILURES:
        found = re.search(pattern, start)
        if found:
            return Link(id_, "server", found[0][:300], "a GPU in the server's `inference compute` line", step)
    seen = next(line for line in start.splitlines() if COMPUTE.search(line))
    missing = "a GPU in the server's `inference compute` line"
    return Link("gpu-not-used", "server", seen[:300], missing, NO_REASON)


def memory(settings: Settings, facts: Facts) -> Link | None:
    """Loaded models of which nothing is in GPU memory; a part of one is enough for this chain."""
    rows = loaded(facts)
    if not rows or in_gpu_memory(facts):
        return None
    seen = "; ".join(f"{row.get('name')} size {row.get('size')} size_vram {row.get('size_vram')}" for row in rows)
    step = "look for the free GPU memory (`nvidia-smi`, `rocm-smi`), unload the model and load it again"
    return Link("gpu-not-used", "model", seen[:300], "a loaded model in GPU memory", step)


def started_with_gpu(facts: Facts) -> bool:
    return any(name != "cpu" for name in _libraries(facts))


def in_gpu_memory(facts: Facts) -> bool:
    return any(_positive(row.get("size_vram")) for row in loaded(facts))


def loaded(facts: Facts) -> list[Mapping[str, Any]]:
    """Rows of /api/ps that name a size; a cloud model has none."""
    bodies = [exchange.body for exchange in facts.exchanges if exchange.path == "/api/ps" and exchange.status == 200]
    document = as_json(bodies[-1]) if bodies else None
    rows = document.get("models") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict) and _positive(row.get("size"))]


def _positive(value: object) -> bool:
    return (whole(value) or 0) > 0


def last_start(journal: str) -> str:
    starts = [match.start() for match in START.finditer(journal)]
    return journal[journal.rfind("\n", 0, starts[-1]) + 1 :] if starts else journal


def _libraries(facts: Facts) -> list[str]:
    return [name.lower() for name in COMPUTE.findall(last_start(facts.journal or ""))]
