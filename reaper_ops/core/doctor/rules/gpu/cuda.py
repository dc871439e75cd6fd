"""CUDA does not come up: nvidia_uvm after sleep, a driver or a card that is too old."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_nvidia, gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.gpu.driver import NODES
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.inventory.environment import version_key

STALE = frozenset({"3", "46", "999"})
UNNAMED = frozenset({"gpu-not-used", "gpu-library-missing"})


def nvidia_uvm_stale(case: HostEvidence) -> Finding | None:
    """CUDA's memory module nvidia_uvm is missing, or unusable after sleep.

    After suspend and resume CUDA may no longer come up although nvidia-smi works; or /dev/nvidia-uvm was never made.

    Signals:
    - `cudart init failure: 999`, `unknown error`
    - models on the CPU since the machine woke up

    Not to be confused with:
    - gpu-xid-fault: there the kernel's log has Xid lines.
    - vram-held-by-others: there the card is full.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/5464
    - https://github.com/ollama/ollama/issues/2934
    """
    if case.facts is None or proof.vendor(case) != "nvidia":
        return None
    link = proof.broken(case, "nvidia-uvm-stale")
    if link is not None:
        steps = (Step("Load the module and make its node.", "sudo nvidia-modprobe -u"), *NODES[1:])
        return proof.found(case, "/dev/nvidia-uvm is missing; CUDA needs it", proof.seen(case, link), steps=steps)
    link = case.gpu_link
    if not case.facts.gpu.nvidia or gpu_server.in_gpu_memory(case.facts) or (link and link.id not in UNNAMED):
        return None
    code = proof.said(case, "cuda-uvm")
    stale = code is not None and code.groups["code"] in STALE and (link is not None or proof.unused(case))
    woken = [hit for hit in proof.kernel(case, "resumed") if stale or proof.since_start(case, hit)]
    if not stale and (not woken or link is None):
        return None
    evidence = [proof.line(code)] if code and stale else []
    evidence += [proof.line(hit, "kernel log") for hit in woken[-1:]]
    why = f"CUDA fails with code {code.groups['code']}" if code and stale else "models run on the CPU"
    summary = f"nvidia-smi works, {why}" + (" since the machine woke from sleep" if woken else "")
    sure = Confidence.CERTAIN if stale and woken else Confidence.LIKELY
    return proof.found(case, summary, *evidence, confidence=sure)


def nvidia_driver_too_old(case: HostEvidence) -> Finding | None:
    """NVIDIA's driver is too old for this version of Ollama.

    The CUDA libraries since 0.30 need driver 550, and 570 for cards of compute capability 5.0 to 6.2; Ollama goes on
    with the CPU.

    Signals:
    - `NVIDIA driver too old` in the server's log
    - `CUDA driver version is insufficient for CUDA runtime version`
    - models on the CPU since an upgrade from 0.24

    Not to be confused with:
    - compute-capability-unsupported: there no driver helps.

    Sources:
    - discover/cuda_compat.go of Ollama
    - https://github.com/ollama/ollama/issues/17290
    - https://github.com/ollama/ollama/issues/16415
    """
    if case.facts is None or proof.vendor(case) != "nvidia":
        return None
    hit = proof.said(case, "gpu-driver-too-old")
    logged = (proof.line(hit),) if hit else ()
    link = proof.broken(case, "nvidia-driver-too-old")
    if link is not None:
        needed = link.missing if link.link == "driver" else "Ollama wants another one"
        if hit is not None and "need" in hit.groups:
            needed = f"driver {hit.groups['need']}"
        driver = next((card.driver for card in case.facts.gpu.nvidia or ()), case.facts.gpu.driver or "")
        summary = f"NVIDIA's driver {driver} is too old, needed is {needed}".replace("  ", " ")
        return proof.found(case, summary, proof.seen(case, link), *logged)
    if hit is not None and gpu_server.started_with_gpu(case.facts):
        summary = "one of several cards is left out: its driver is too old for it"
        return proof.found(case, summary, *logged, severity=Severity.WARNING)
    return _after_upgrade(case)


def _after_upgrade(case: HostEvidence) -> Finding | None:
    """The GPU works with the version that runs, and would not with the one that is wished."""
    runs, wish = case.seen.version, case.settings.ollama_version
    if case.facts is None or not runs or not case.settings.ollama_managed or proof.unused(case):
        return None
    link = gpu_nvidia.floor(case.settings, case.facts)
    before = gpu_nvidia.floor(case.settings.model_copy(update={"ollama_version": runs}), case.facts)
    if link is None or before is not None or version_key(runs) >= version_key(wish):
        return None
    summary = f"the GPU works with Ollama {runs}, and will not with {wish}, which the inventory wishes: {link.missing}"
    evidence = (proof.seen(case, link), Evidence("GET /api/version", runs))
    return proof.found(case, summary, *evidence, severity=Severity.WARNING)


def compute_capability_unsupported(case: HostEvidence) -> Finding | None:
    """The card is too old for Ollama's CUDA libraries.

    They are built for compute capability 5.0 and newer; which newer ones is decided release by release.

    Signals:
    - `CUDA GPU is too old. Falling back to CPU mode. Compute Capability detected: 3.7`
    - `skipping CUDA device — compute capability not in compiled architectures`, for every library directory

    Not to be confused with:
    - nvidia-driver-too-old: there a newer driver helps.
    - a card that cuda_v13 skips and cuda_v12 takes (such as V100): the server then has a GPU, and all is well.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/1756
    - https://github.com/ollama/ollama/issues/16533
    """
    if case.facts is None or proof.vendor(case) != "nvidia":
        return None
    link, hit = proof.broken(case, "compute-capability-unsupported"), proof.said(case, "gpu-arch-unsupported")
    if link is None and (hit is None or not proof.unused(case) or (case.gpu_link and case.gpu_link.id not in UNNAMED)):
        return None
    cards = ", ".join(f"{card.name} (compute {card.compute or 'unknown'})" for card in case.facts.gpu.nvidia or ())
    evidence = [proof.seen(case, link)] if link else []
    evidence += [proof.line(hit)] if hit and not (link and link.link == "server") else []
    summary = f"Ollama's CUDA libraries are not built for {cards or 'this card'}"
    return proof.found(case, summary, *evidence)


RULES = (
    Rule(
        nvidia_uvm_stale,
        Severity.ERROR,
        steps=(
            Step("See who else uses the GPU; nobody may while the module is changed.", "sudo fuser -v /dev/nvidia-uvm"),
            Step(
                "Load the module anew.",
                "sudo systemctl stop ollama; sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm;"
                " sudo systemctl start ollama",
            ),
            Step(
                "For good: let the driver save its memory over sleep.",
                "echo options nvidia NVreg_PreserveVideoMemoryAllocations=1 NVreg_TemporaryFilePath=/var/tmp"
                " | sudo tee /etc/modprobe.d/nvidia-sleep.conf",
            ),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log", "kernel.log"),
    ),
    Rule(
        nvidia_driver_too_old,
        Severity.ERROR,
        steps=(
            Step(
                "Upgrade the driver to 580, or at least to what is named above, and reboot.",
                "sudo apt install nvidia-driver-580 && sudo reboot",
            ),
            Step("Or stay on the last version that takes this driver: `ollama_version: 0.24.0` in the inventory."),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log",),
    ),
    Rule(
        compute_capability_unsupported,
        Severity.ERROR,
        steps=(
            Step(
                "Try Vulkan: `ollama_env: {OLLAMA_VULKAN: true}` in the inventory, then bring the host to it.", "{up}"
            ),
            Step("Or say that the CPU is meant: `gpu_vendor: none`."),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log",),
    ),
)
