"""NVIDIA's kernel driver: missing, held by another, of another version."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.gpu import proof, system
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State

RESTART = Step("Restart Ollama.", "{restart}", Automate.ASK, "restart")
NODES = (Step("Create the device nodes.", "sudo nvidia-modprobe -u -c=0"), RESTART)


def nvidia_driver_missing(case: HostEvidence) -> Finding | None:
    """The NVIDIA card has no working kernel driver.

    No driver is installed, its module was not built for the running kernel (DKMS), Secure Boot refuses the module, or
    the device nodes or the user-space libraries are missing.

    Signals:
    - `NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver`
    - `nvidia-smi: command not found`
    - `100% CPU` in `ollama ps`

    Not to be confused with:
    - nouveau-loaded: another driver holds the card.
    - nvidia-version-mismatch: a module is loaded, but it has another version than the libraries.
    - wsl2-gpu: inside WSL the driver belongs to Windows; a Linux driver there breaks the GPU.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/1460
    """
    link = proof.broken(case, "nvidia-driver-missing")
    if link is None or case.facts is None or case.facts.system.container == "wsl":
        return None
    evidence = proof.link_evidence(case, link)
    if "vfio-pci" in link.seen:
        summary = "the NVIDIA card is reserved for virtual machines (vfio-pci); Ollama cannot use it"
        missed = proof.desired(case) or case.state is State.CPU_FALLBACK
        return proof.finding(case, summary, evidence, steps=_vfio(case)) if missed else None
    if link.link == "nodes":
        box = case.facts.system.container
        summary = f"NVIDIA's driver is loaded, but {f'this {box} container' if box else 'the host'} has no device nodes"
        return proof.finding(case, summary, evidence, steps=_PASS_THROUGH if box else NODES)
    if link.link == "tool" and case.facts.gpu.driver:
        summary = (
            f"NVIDIA's module {case.facts.gpu.driver} is loaded, but its libraries and nvidia-smi are not installed"
        )
        return proof.finding(case, summary, evidence, steps=system.driver(case), confidence=Confidence.LIKELY)
    return _no_module(case, evidence)


def _no_module(case: HostEvidence, evidence: Evidence) -> Finding:
    assert case.facts is not None
    kernel, dkms = case.facts.system.kernel, case.traces.dkms
    refused = proof.kernel_lines(case, "module-refused")
    if refused:
        line = proof.as_evidence(refused[-1], "kernel log")
        return proof.finding(case, "Secure Boot refuses NVIDIA's kernel module", evidence, line, steps=_enroll(case))
    unbuilt = [row for row in (dkms or "").splitlines() if row.startswith("nvidia")]
    if unbuilt and not any(kernel in row and row.rstrip().endswith("installed") for row in unbuilt):
        summary = f"NVIDIA's module was not built for the running kernel {kernel}"
        rows = Evidence("dkms status", excerpt("; ".join(unbuilt)))
        return proof.finding(case, summary, evidence, rows, steps=_rebuild(case))
    error = case.facts.gpu.nvidia_error
    more = (Evidence("nvidia-smi", excerpt(error)),) if error else ()
    if not error and not case.facts.packages.get("nvidia-driver"):
        summary = "the host has an NVIDIA card, but no NVIDIA driver"
        return proof.finding(case, summary, evidence, *more, steps=system.driver(case))
    built = "not built for" if case.traces.gpu_modules_file is False else "not loaded in"
    summary = f"NVIDIA's driver is installed, but its module is {built} kernel {kernel}"
    return proof.finding(case, summary, evidence, *more, steps=_rebuild(case))


def nouveau_loaded(case: HostEvidence) -> Finding | None:
    """The free driver nouveau holds the NVIDIA card.

    CUDA needs NVIDIA's own module, which the kernel cannot load while nouveau holds the card.

    Signals:
    - `Reboot to complete NVIDIA CUDA driver install.` from Ollama's installer
    - `Kernel driver in use: nouveau` in `lspci -k`

    Not to be confused with:
    - nvidia-driver-missing: no driver holds the card.

    Sources:
    - install.sh of Ollama
    """
    link = proof.broken(case, "nouveau-loaded")
    if link is None:
        return None
    summary = "the nouveau driver holds the NVIDIA card; CUDA needs NVIDIA's own driver"
    steps = (_blacklist(case), *system.driver(case))
    return proof.finding(case, summary, proof.link_evidence(case, link), steps=steps)


def nvidia_version_mismatch(case: HostEvidence) -> Finding | None:
    """NVIDIA's libraries and the loaded kernel module have different versions.

    The driver was upgraded, often by unattended-upgrades, and the old module is still loaded.

    Signals:
    - `Failed to initialize NVML: Driver/library version mismatch`
    - `nvml error: driver/library version mismatch` when a container starts
    - `NVRM: API mismatch: the client has the version …` in the kernel log

    Not to be confused with:
    - nvml-unknown-container: nvidia-smi works on the host.
    - nvidia-driver-missing: no module is loaded.

    Sources:
    - https://github.com/oddmario/NVIDIA-Ubuntu-Driver-Guide/issues/4
    - https://github.com/Syllo/nvtop/issues/125
    """
    facts = case.facts
    if facts is None or case.settings.gpu_vendor == "none":
        return None
    error = facts.gpu.nvidia_error or ""
    hit = signatures.match("log", error)
    if hit is None or hit.signature.id != "nvidia-version-mismatch":
        return None
    loaded, library = facts.gpu.driver or "", re.search(r"NVML library version: ([\d.]+\d)", error)
    versions = f"module {loaded or 'unknown'}, libraries {library[1] if library else 'unknown'}"
    summary = f"NVIDIA's driver was upgraded, but the old kernel module is still loaded ({versions})"
    kernel = [proof.as_evidence(row, "kernel log") for row in proof.kernel_lines(case, "nvidia-version-mismatch")[-1:]]
    evidence, steps = Evidence("nvidia-smi", excerpt(error)), (_REBOOT_MODULE, _hold(case))
    if gpu_server.in_gpu_memory(facts):
        late = "; loaded models keep working, the next one to load will run on the CPU"
        return proof.finding(case, summary + late, evidence, *kernel, steps=steps, severity=Severity.WARNING)
    return proof.finding(case, summary, evidence, *kernel, steps=steps)


def _vfio(case: HostEvidence) -> tuple[Step, ...]:
    return (
        Step(
            "Remove the card's ids from vfio-pci: from `ids=` in /etc/modprobe.d, or from the kernel's command line.",
            "grep -rn vfio /etc/modprobe.d /proc/cmdline; lspci -nnk -d 10de:",
        ),
        Step("Rebuild the initramfs.", system.initramfs(case)),
        system.REBOOT,
    )


def _enroll(case: HostEvidence) -> tuple[Step, ...]:
    """Ubuntu keeps the key of its modules elsewhere than DKMS does."""
    ubuntu = case.facts is not None and case.facts.system.os_id == "ubuntu"
    key = "/var/lib/shim-signed/mok/MOK.der" if ubuntu else "/var/lib/dkms/mok.pub"
    return (
        Step(
            "Enroll the key that signs the module. mokutil asks for a one-time password.",
            f"sudo mokutil --import {key}",
        ),
        Step("Reboot, choose Enroll MOK at the console, and type that password.", "sudo reboot"),
        Step(
            "Where nobody can reach the console, disable Secure Boot in the firmware of the virtual machine or board."
        ),
    )


def _rebuild(case: HostEvidence) -> tuple[Step, ...]:
    return (
        Step("Install the headers of the running kernel, and build the module.", system.headers(case)),
        Step("Load the module.", "sudo modprobe -a nvidia nvidia_uvm"),
        RESTART,
    )


def _blacklist(case: HostEvidence) -> Step:
    return Step(
        "Keep nouveau from loading at boot.",
        "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n'"
        f" | sudo tee /etc/modprobe.d/blacklist-nouveau.conf && {system.initramfs(case)}",
    )


def _hold(case: HostEvidence) -> Step:
    text = "Prevent the next mismatch: hold the driver's packages, and upgrade them only before a reboot."
    if case.facts is not None and case.facts.system.family == "redhat":
        return Step(text, "sudo dnf versionlock add 'nvidia-driver*'")
    return Step(text, "sudo apt-mark hold 'nvidia-driver*'")


_REBOOT_MODULE = Step("Reboot, which loads the new module.", "sudo reboot")
_PASS_THROUGH = (
    Step(
        "Pass /dev/nvidia0, /dev/nvidiactl and /dev/nvidia-uvm to the container, in its configuration on the machine"
        " that runs it."
    ),
    RESTART,
)

RULES = (
    Rule(
        nvidia_driver_missing,
        Severity.ERROR,
        steps=system.DRIVER,
        explains=("gpu-not-used", "cpu-fallback"),
        verify="nvidia-smi -L",
    ),
    Rule(
        nouveau_loaded,
        Severity.ERROR,
        steps=(Step("Keep nouveau from loading at boot, and rebuild the initramfs."), *system.DRIVER),
        explains=("gpu-not-used", "cpu-fallback"),
        verify="nvidia-smi -L",
    ),
    Rule(
        nvidia_version_mismatch,
        Severity.ERROR,
        steps=(_REBOOT_MODULE, Step("Hold the driver's packages, and upgrade them only before a reboot.")),
        explains=("gpu-not-used", "cpu-fallback"),
        verify="nvidia-smi -L",
    ),
)
