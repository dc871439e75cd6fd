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
        "On Windows, install NVIDIA's current driver, then update and restart WSL in a terminal of Windows.",
        "wsl --update; wsl --shutdown",
    ),
)


def wsl2_gpu(case: HostEvidence) -> Finding | None:
    """WSL does not pass the GPU to Linux.

    Inside WSL the driver is that of Windows, reached through /dev/dxg. A Linux driver inside WSL replaces its libraries
    and breaks it; an old WSL or an old Windows driver passes no GPU.

    Signals:
    - `GPU access blocked by the operating system`
    - nvidia-smi works in a shell, but the service runs on the CPU

    Not to be confused with:
    - nvidia-driver-missing: that is for hosts other than WSL; do not install a driver inside WSL.

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
        return proof.finding(
            case,
            "NVIDIA's Linux driver is installed inside WSL, where it breaks the GPU",
            said,
            proof.link_evidence(case, link),
        )
    if not any(node.path == "/dev/dxg" for node in facts.gpu.nodes):
        missing = Evidence("/dev", "no /dev/dxg")
        return proof.finding(case, "WSL passes no GPU to this Linux: /dev/dxg is missing", missing, steps=WINDOWS)
    if facts.gpu.nvidia:
        summary = "nvidia-smi works inside WSL, but the server does not find the GPU"
        evidence = (Evidence("nvidia-smi", ", ".join(card.name for card in facts.gpu.nvidia)),)
        return proof.finding(
            case, summary, *evidence, proof.link_evidence(case, link), confidence=Confidence.LIKELY, steps=_LIBRARIES
        )
    sure = Confidence.CERTAIN if link.id == "wsl2-gpu" else Confidence.LIKELY
    summary = "WSL has a GPU, but NVIDIA's driver does not work inside it"
    return proof.finding(case, summary, proof.link_evidence(case, link), confidence=sure, steps=WINDOWS)


_LIBRARIES = (
    Step(
        "Give the server the driver libraries of WSL: set `ollama_env: {LD_LIBRARY_PATH: /usr/lib/wsl/lib}` in the"
        " inventory, then apply it.",
        "{up}",
    ),
    *WINDOWS,
)


RULES = (
    Rule(
        wsl2_gpu,
        Severity.ERROR,
        steps=(
            Step(
                "Remove the Linux driver inside WSL.",
                "sudo apt purge 'nvidia-driver*' 'nvidia-dkms*' && sudo apt autoremove --purge",
            ),
            *WINDOWS,
        ),
        explains=("gpu-not-used", "cpu-fallback"),
    ),
)
