"""Errors of NVML as nvidia-smi prints them.

Source: nvmlReturn_t in nvml.h, and the texts of nvmlErrorString and nvidia-smi.
"""

from __future__ import annotations

from collections.abc import Mapping

from reaper_ops.core.doctor.tables.meaning import Meaning as M

TEXTS: Mapping[str, M] = {
    "Driver/library version mismatch": M(
        "nvidia-version-mismatch", "NVIDIA's libraries and the loaded kernel module have different versions", True
    ),
    "Unknown Error": M("nvml-unknown-container", "the container lost its GPU devices: NVML fails with Unknown Error"),
    "blocked by the operating system": M("wsl2-gpu", "Windows blocks the access of WSL to the GPU", True),
    "Driver Not Loaded": M("nvidia-driver-missing", "NVIDIA's kernel driver is not loaded", True),
    "couldn't communicate with the NVIDIA driver": M(
        "nvidia-driver-missing", "nvidia-smi does not reach NVIDIA's kernel driver", True
    ),
    "couldn't find libnvidia-ml": M("nvidia-driver-missing", "NVIDIA's library libnvidia-ml is missing"),
    "GPU is lost": M("gpu-xid-fault", "the GPU is lost: it no longer answers on the bus", True),
    "Unable to determine the device handle": M("gpu-xid-fault", "the GPU does not answer its driver"),
    "Insufficient Permissions": M("cuda-initialization-failed", "NVML may not open the GPU's device nodes"),
    "No permission": M("cuda-initialization-failed", "NVML may not open the GPU's device nodes"),
}
BY_CODE: Mapping[int, str] = {
    4: "No permission",
    9: "Driver Not Loaded",
    12: "couldn't find libnvidia-ml",
    15: "GPU is lost",
    18: "Driver/library version mismatch",
    999: "Unknown Error",
}
"""Of the numbers of nvmlReturn_t those that have a cause; the text is a key of TEXTS."""
