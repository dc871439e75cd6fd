"""CUDA does not start: nvidia_uvm after suspend, a driver or a card that is too old."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_nvidia, gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.gpu import proof, system
from reaper_ops.core.doctor.rules.gpu.driver import RESTART
from reaper_ops.core.doctor.rules.reported import course
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.facts.gpu_chain import NvidiaGpu
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.inventory.environment import version_key

STALE = frozenset({"3", "46", "999"})
LAST_BEFORE = "0.24.0"
UNNAMED = frozenset({"gpu-not-used", "gpu-library-missing"})


def nvidia_uvm_stale(case: HostEvidence) -> Finding | None:
    """CUDA's memory module nvidia_uvm is missing, or unusable after suspend.

    After suspend and resume CUDA may fail to start although nvidia-smi works; or /dev/nvidia-uvm was never created.

    Signals:
    - `cudart init failure: 999`, `unknown error`
    - models run on the CPU since the host resumed from suspend

    Not to be confused with:
    - gpu-xid-fault: the kernel log has Xid lines.
    - vram-held-by-others: the GPU memory is full.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/5464
    - https://github.com/ollama/ollama/issues/2934
    """
    if case.facts is None or proof.vendor(case) != "nvidia":
        return None
    link = proof.broken(case, "nvidia-uvm-stale")
    if link is not None:
        steps = (Step("Load the module, and create its device node.", "sudo nvidia-modprobe -u"), RESTART)
        summary = "/dev/nvidia-uvm is missing; CUDA needs it"
        return proof.finding(case, summary, proof.link_evidence(case, link), steps=steps)
    link = case.gpu_link
    if not case.facts.gpu.nvidia or gpu_server.in_gpu_memory(case.facts) or (link and link.id not in UNNAMED):
        return None
    code = proof.log_line(case, "cuda-uvm")
    stale = code is not None and code.groups["code"] in STALE and (link is not None or proof.unused(case))
    woken = [hit for hit in proof.kernel_lines(case, "resumed") if stale or proof.since_start(case, hit)]
    if not stale and (not woken or link is None):
        return None
    evidence = [proof.as_evidence(code)] if code and stale else []
    evidence += [proof.as_evidence(hit, "kernel log") for hit in woken[-1:]]
    why = f"CUDA fails with code {code.groups['code']}" if code and stale else "models run on the CPU"
    summary = f"nvidia-smi works, but {why}" + (" since the host resumed from suspend" if woken else "")
    sure = Confidence.CERTAIN if stale and woken else Confidence.LIKELY
    return proof.finding(case, summary, *evidence, confidence=sure, steps=_reload(case))


def _reload(case: HostEvidence) -> tuple[Step, ...]:
    """nvidia_uvm can be unloaded only while no program uses it, the server included."""
    stop = {"systemd": "sudo systemctl stop ollama", "docker": "docker stop ollama"}.get(case.settings.ollama_runtime)
    ended = Step("Stop the server, because the module cannot be unloaded while a program uses it.", stop or "")
    return (
        ended if stop else Step("End the server's process, because the module cannot be unloaded while it runs."),
        Step("Check that no other program uses the module.", "sudo fuser -v /dev/nvidia-uvm"),
        Step("Load the module again.", "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"),
        Step("Start the server.", "{start}"),
        _PRESERVE,
    )


def nvidia_driver_too_old(case: HostEvidence) -> Finding | None:
    """NVIDIA's driver is too old for this version of Ollama.

    Since 0.30 the CUDA libraries need driver 550, or 570 for cards with compute capability 5.0 to 6.2. With an older
    driver Ollama uses the CPU.

    Signals:
    - `NVIDIA driver too old` in the server log
    - `CUDA driver version is insufficient for CUDA runtime version`
    - models run on the CPU since an upgrade from 0.24

    Not to be confused with:
    - compute-capability-unsupported: no driver helps.

    Sources:
    - discover/cuda_compat.go of Ollama
    - https://github.com/ollama/ollama/issues/17290
    - https://github.com/ollama/ollama/issues/16415
    """
    if case.facts is None or proof.vendor(case) != "nvidia":
        return None
    hit = proof.log_line(case, "gpu-driver-too-old")
    logged = (proof.as_evidence(hit),) if hit else ()
    link = proof.broken(case, "nvidia-driver-too-old")
    if link is not None:
        needed = link.missing if link.link == "driver" else ""
        if hit is not None and "need" in hit.groups:
            needed = f"driver {hit.groups['need']}"
        driver = next((card.driver for card in case.facts.gpu.nvidia or ()), case.facts.gpu.driver or "")
        reason = f"{needed.split(' for Ollama')[0]} is needed" if needed else "a newer one is needed"
        version = case.seen.version or case.settings.ollama_version
        summary = f"NVIDIA's driver {driver} is too old for Ollama {version}: {reason}".replace("  ", " ")
        return proof.finding(case, summary, proof.link_evidence(case, link), *logged, steps=_newer(case))
    if hit is not None and gpu_server.started_with_gpu(case.facts):
        return proof.finding(case, _one_ignored(hit), *logged, severity=Severity.WARNING, steps=_newer(case))
    return _after_upgrade(case)


def _one_ignored(hit: Hit) -> str:
    named = re.search(r'device="([^"]{1,100})"', hit.line)
    need = f", which needs {hit.groups['need']}" if "need" in hit.groups else ""
    return f"Ollama ignores {named[1] if named else 'one of several cards'}: the driver is too old for it{need}"


def _newer(case: HostEvidence) -> tuple[Step, ...]:
    """0.24 is offered only where it works with this driver."""
    steps = system.newer_driver(case)
    if case.facts is None or version_key(case.settings.ollama_version)[:2] < gpu_nvidia.LLAMA_SERVER:
        return steps
    old = case.settings.model_copy(update={"ollama_version": LAST_BEFORE})
    major = re.match(r"\d{1,6}", case.facts.gpu.driver or "")
    works = gpu_nvidia.floor(old, case.facts) is None and major is not None and int(major[0]) >= gpu_nvidia.FLOOR_BEFORE
    return (*steps, _DOWNGRADE) if works else steps


def _after_upgrade(case: HostEvidence) -> Finding | None:
    """The GPU works with the version that runs, but will not with the one that the inventory sets."""
    runs, target = case.seen.version, case.settings.ollama_version
    if case.facts is None or not runs or not case.settings.ollama_managed or proof.unused(case):
        return None
    link = gpu_nvidia.floor(case.settings, case.facts)
    before = gpu_nvidia.floor(case.settings.model_copy(update={"ollama_version": runs}), case.facts)
    if link is None or before is not None or version_key(runs) >= version_key(target):
        return None
    needed = link.missing.split(" for Ollama")[0]
    summary = f"the GPU works with Ollama {runs}, but not with {target}, which the inventory sets: it needs {needed}"
    evidence = (proof.link_evidence(case, link), Evidence("GET /api/version", runs))
    steps = (*system.newer_driver(case), Step(f"Until then, keep `ollama_version: {runs}` in the inventory."))
    return proof.finding(case, summary, *evidence, severity=Severity.WARNING, steps=steps)


def compute_capability_unsupported(case: HostEvidence) -> Finding | None:
    """The card is too old for Ollama's CUDA libraries.

    The libraries are built for compute capability 5.0 and newer. Each release decides which newer ones it supports.

    Signals:
    - `CUDA GPU is too old. Falling back to CPU mode. Compute Capability detected: 3.7`
    - `skipping CUDA device — compute capability not in compiled architectures`, for every library directory

    Not to be confused with:
    - nvidia-driver-too-old: a newer driver helps.
    - a card that cuda_v13 skips and cuda_v12 uses (such as V100): the server then has its GPU.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/1756
    - https://github.com/ollama/ollama/issues/16533
    """
    if case.facts is None or proof.vendor(case) != "nvidia":
        return None
    link, hit = proof.broken(case, "compute-capability-unsupported"), proof.log_line(case, "gpu-arch-unsupported")
    if (link is None or link.link == "server") and course.other_library(case):
        return None
    if link is None and (hit is None or not proof.unused(case) or (case.gpu_link and case.gpu_link.id not in UNNAMED)):
        return None
    cards = ", ".join(_named(card) for card in case.facts.gpu.nvidia or ())
    evidence = [proof.link_evidence(case, link)] if link else []
    evidence += [proof.as_evidence(hit)] if hit and not (link and link.link == "server") else []
    summary = f"Ollama's CUDA libraries are not built for {cards or 'this card'}"
    return proof.finding(case, summary, *evidence)


def _named(card: NvidiaGpu) -> str:
    return f"{card.name} (compute capability {card.compute})" if card.compute else card.name


_PRESERVE = Step(
    "Prevent it: let the driver save GPU memory over suspend. This takes effect at the next boot.",
    "echo options nvidia NVreg_PreserveVideoMemoryAllocations=1 NVreg_TemporaryFilePath=/var/tmp"
    " | sudo tee /etc/modprobe.d/nvidia-sleep.conf"
    " && sudo systemctl enable nvidia-suspend nvidia-hibernate nvidia-resume",
)
_DOWNGRADE = Step(
    f"Or go back to the last version that works with this driver: set `ollama_version: {LAST_BEFORE}` in the inventory,"
    " then apply it. That version has known vulnerabilities.",
    "{up}",
)

RULES = (
    Rule(
        nvidia_uvm_stale,
        Severity.ERROR,
        steps=(
            Step("Stop the server and every other program that uses the GPU.", "sudo fuser -v /dev/nvidia-uvm"),
            Step("Load the module again.", "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"),
            Step("Start the server.", "{start}"),
            _PRESERVE,
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log", "kernel.log"),
    ),
    Rule(
        nvidia_driver_too_old,
        Severity.ERROR,
        steps=(
            Step("Upgrade NVIDIA's driver to 580, from the distribution or from NVIDIA's repository."),
            system.REBOOT,
            _DOWNGRADE,
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log",),
    ),
    Rule(
        compute_capability_unsupported,
        Severity.ERROR,
        steps=(
            Step("Try Vulkan: set `ollama_env: {OLLAMA_VULKAN: true}` in the inventory, then apply it.", "{up}"),
            Step("Or run on the CPU on purpose: set `gpu_vendor: none`."),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        needs=("journal.log",),
    ),
)
