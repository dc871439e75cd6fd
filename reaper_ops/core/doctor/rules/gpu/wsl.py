"""The GPU on its way from Windows into WSL."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

UNNAMED = frozenset({"gpu-not-used", "gpu-library-missing", "nvidia-driver-missing", "wsl2-gpu"})
WINDOWS = (
    Step(
        "On Windows: install NVIDIA's current driver for Windows, then update WSL and start it anew.",
        "wsl --update; wsl --shutdown",
    ),
)


def wsl2_gpu(case: HostEvidence) -> Finding | None:
    """WSL does not hand the GPU to Linux.

    Inside WSL the driver is that of Windows, reached over /dev/dxg. A Linux driver inside WSL replaces its libraries
    and breaks it; an old WSL or Windows driver gives nothing.

    Signals:
    - `GPU access blocked by the operating system`
    - nvidia-smi works in a shell, the service runs on the CPU

    Not to be confused with:
    - nvidia-driver-missing: that is for machines of their own; do not install a driver inside WSL.

    Sources:
    - https://github.com/ollama/ollama/issues/1460
    - https://github.com/ollama/ollama/issues/1666
    """
    facts, link = case.facts, case.gpu_link
    if facts is None or link is None or facts.system.container != "wsl" or link.id not in UNNAMED:
        return None
    package = facts.packages.get("nvidia-driver")
    if package:
        said = Evidence("dpkg", f"nvidia-driver {package}")
        return proof.found(
            case,
            "a Linux driver of NVIDIA is installed inside WSL, where it breaks the GPU",
            said,
            proof.seen(case, link),
        )
    if not any(node.path == "/dev/dxg" for node in facts.gpu.nodes):
        return proof.found(
            case, "WSL gives this Linux no GPU: /dev/dxg is missing", proof.seen(case, link), steps=WINDOWS
        )
    sure = Confidence.CERTAIN if link.id == "wsl2-gpu" else Confidence.LIKELY
    return proof.found(
        case, "WSL has a GPU, and Ollama cannot use it", proof.seen(case, link), confidence=sure, steps=WINDOWS
    )


RULES = (
    Rule(
        wsl2_gpu,
        Severity.ERROR,
        steps=(
            Step("Remove the Linux driver inside WSL.", "sudo apt purge '*nvidia-driver*' 'libnvidia-*'"),
            *WINDOWS,
        ),
        explains=("gpu-not-used", "cpu-fallback"),
    ),
)
