"""What the server says about compute at its start: a GPU when it is told to present one, the CPU otherwise."""

from __future__ import annotations

import time
from typing import Any

from . import log
from .config import Config
from .faults import Faults
from .sched import default_context

_GPUS: dict[str, dict[str, Any]] = {
    "nvidia": {"library": "CUDA", "compute": "8.9", "name": "CUDA0", "libdirs": "ollama,cuda_v13", "driver": "13.0"},
    "amd": {"library": "ROCm", "compute": "gfx1100", "name": "ROCm0", "libdirs": "ollama,rocm_v7_2", "driver": "70253"},
}


def discover(config: Config, faults: Faults) -> None:
    log.slog("INFO", "runner.go:60", "discovering available GPUs...")
    if faults.on("slow-start"):
        time.sleep(faults.option("slow-start", "seconds", 10))
    usable = config.gpu in _GPUS and not faults.on("cpu-fallback")
    if usable:
        _gpu(config)
    else:
        if config.gpu:
            text = "failure during llama-server GPU discovery"
            log.slog("INFO", "runner.go:522", text, error="simulated: exit status 1", detail="")
        _cpu()
    memory = log.binary_size(config.gpu_memory if usable else 0)
    context = default_context(config)
    log.slog("INFO", "routes.go:2058", "vram-based default context", total_vram=memory, default_num_ctx=context)


def _gpu(config: Config) -> None:
    row = _GPUS[config.gpu]
    log.slog(
        "INFO",
        "types.go:32",
        "inference compute",
        id=0,
        filter_id=0,
        library=row["library"],
        compute=row["compute"],
        name=row["name"],
        description=f"Simulated {config.gpu.upper()} GPU",
        libdirs=row["libdirs"],
        driver=row["driver"],
        pci_id="0000:01:00.0",
        type="discrete",
        total=log.binary_size(config.gpu_memory),
        available=log.binary_size(config.gpu_memory * 19 // 20),
    )


def _cpu() -> None:
    total, available, _ = log.meminfo()
    log.slog(
        "INFO",
        "types.go:50",
        "inference compute",
        id="cpu",
        library="cpu",
        compute="",
        name="cpu",
        description="cpu",
        libdirs="ollama",
        driver="",
        pci_id="",
        type="",
        total=total,
        available=available,
    )
