"""NVIDIA's kernel driver: missing, held by another, of another version."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State

VFIO = (
    Step(
        "Take the card from vfio-pci (`ids=` in /etc/modprobe.d or on the kernel's command line).",
        "lspci -nnk -d 10de:",
    ),
    Step("Then rebuild the initramfs and reboot.", "sudo update-initramfs -u && sudo reboot"),
)
REFUSED = (
    Step(
        "Enrol the key that signed the module, or switch Secure Boot off in the firmware.",
        "sudo mokutil --import /var/lib/dkms/mok.pub",
    ),
    Step("Reboot, and confirm the key on the blue screen.", "sudo reboot"),
)
REBUILD = (
    Step(
        "Install the headers of the running kernel and build the module.",
        'sudo apt install "linux-headers-$(uname -r)" && sudo dkms autoinstall',
    ),
    Step("Load it, then restart Ollama.", "sudo modprobe nvidia nvidia_uvm && {restart}"),
)
REBUILD_RPM = (
    Step(
        "Install the sources of the running kernel and build the module.",
        'sudo dnf install "kernel-devel-$(uname -r)" && sudo dkms autoinstall',
    ),
    REBUILD[1],
)
INSTALL_RPM = (
    Step(
        "Install NVIDIA's driver, 570 or newer, of NVIDIA's or RPM Fusion's repository.",
        "sudo dnf install nvidia-driver",
    ),
    Step("Reboot.", "sudo reboot"),
)
NODES = (
    Step("Make the device nodes; inside a container, give it the devices instead.", "sudo nvidia-modprobe -u -c=0"),
    Step("Restart Ollama.", "{restart}", Automate.ASK, "restart"),
)


def nvidia_driver_missing(case: HostEvidence) -> Finding | None:
    """The NVIDIA card has no working kernel driver.

    None is installed, its module was not built for the running kernel (DKMS), Secure Boot refuses it, or the device
    nodes or the driver's own libraries are missing.

    Signals:
    - `NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver`
    - `nvidia-smi: command not found`
    - `100% CPU` in `ollama ps`

    Not to be confused with:
    - nouveau-loaded: there another driver holds the card.
    - nvidia-version-mismatch: there a module is loaded, of another version.
    - wsl2-gpu: inside WSL the driver belongs to Windows; one in Linux breaks it.

    Sources:
    - docs/gpu.mdx of Ollama
    - https://github.com/ollama/ollama/issues/1460
    """
    link = proof.broken(case, "nvidia-driver-missing")
    if link is None or case.facts is None or case.facts.system.container == "wsl":
        return None
    evidence = proof.seen(case, link)
    if "vfio-pci" in link.seen:
        summary = "the NVIDIA card is set aside for virtual machines (vfio-pci); Ollama cannot use it"
        missed = proof.wished(case) or case.state is State.CPU_FALLBACK
        return proof.found(case, summary, evidence, steps=VFIO) if missed else None
    if link.link == "nodes":
        inside = f"this {case.facts.system.container} container" if case.facts.system.container else "the host"
        return proof.found(case, f"NVIDIA's driver is loaded, and {inside} has no device nodes", evidence, steps=NODES)
    if link.link == "tool" and case.facts.gpu.driver:
        summary = f"NVIDIA's module {case.facts.gpu.driver} is loaded, its libraries and nvidia-smi do not answer"
        return proof.found(case, summary, evidence, confidence=Confidence.LIKELY)
    return _no_module(case, evidence)


def _no_module(case: HostEvidence, evidence: Evidence) -> Finding:
    assert case.facts is not None
    kernel, dkms = case.facts.system.kernel, case.traces.dkms
    refused = proof.kernel(case, "module-refused")
    if refused:
        line = proof.line(refused[-1], "kernel log")
        return proof.found(case, "Secure Boot refuses NVIDIA's kernel module", evidence, line, steps=REFUSED)
    rebuild = REBUILD_RPM if case.facts.system.family == "redhat" else REBUILD
    unbuilt = [row for row in (dkms or "").splitlines() if row.startswith("nvidia")]
    if unbuilt and not any(kernel in row and row.rstrip().endswith("installed") for row in unbuilt):
        summary = f"NVIDIA's module was not built for the running kernel {kernel}"
        return proof.found(case, summary, evidence, Evidence("dkms status", excerpt("; ".join(unbuilt))), steps=rebuild)
    said = case.facts.gpu.nvidia_error
    more = (Evidence("nvidia-smi", excerpt(said)),) if said else ()
    installed = bool(said) or bool(case.facts.packages.get("nvidia-driver"))
    built = "not built for" if case.traces.gpu_modules_file is False else "not loaded in"
    why = f"NVIDIA's driver is installed, its module is {built} kernel {kernel}"
    summary = why if installed else "there is an NVIDIA card, and no NVIDIA driver"
    new = INSTALL_RPM if rebuild is REBUILD_RPM else None
    return proof.found(case, summary, evidence, *more, steps=rebuild if installed else new)


def nouveau_loaded(case: HostEvidence) -> Finding | None:
    """The free driver nouveau holds the NVIDIA card.

    CUDA needs NVIDIA's own module, which cannot be loaded while nouveau has the card.

    Signals:
    - `Reboot to complete NVIDIA CUDA driver install.` from Ollama's installer
    - `Kernel driver in use: nouveau` in `lspci -k`

    Not to be confused with:
    - nvidia-driver-missing: there no driver has the card.

    Sources:
    - install.sh of Ollama
    """
    link = proof.broken(case, "nouveau-loaded")
    if link is None:
        return None
    return proof.found(case, "nouveau holds the NVIDIA card; CUDA cannot use it", proof.seen(case, link))


def nvidia_version_mismatch(case: HostEvidence) -> Finding | None:
    """NVIDIA's libraries and the loaded kernel module are of different versions.

    The driver was upgraded, often by unattended-upgrades, and the old module is still loaded.

    Signals:
    - `Failed to initialize NVML: Driver/library version mismatch`
    - `nvml error: driver/library version mismatch` when a container starts
    - `NVRM: API mismatch: the client has the version …` in the kernel's log

    Not to be confused with:
    - nvml-unknown-container: there nvidia-smi works on the host.
    - nvidia-driver-missing: there no module is loaded.

    Sources:
    - https://github.com/oddmario/NVIDIA-Ubuntu-Driver-Guide/issues/4
    - https://github.com/Syllo/nvtop/issues/125
    """
    facts = case.facts
    if facts is None or case.settings.gpu_vendor == "none":
        return None
    said = facts.gpu.nvidia_error or ""
    hit = signatures.match("log", said)
    if hit is None or hit.signature.id != "nvidia-version-mismatch":
        return None
    loaded, library = facts.gpu.driver or "", re.search(r"NVML library version: ([\d.]+\d)", said)
    versions = f"module {loaded or 'of another version'}, libraries {library[1]}" if library else f"module {loaded}"
    summary = f"NVIDIA's driver was upgraded under the loaded kernel module ({versions.rstrip()})"
    kernel = [proof.line(hit, "kernel log") for hit in proof.kernel(case, "nvidia-version-mismatch")[-1:]]
    evidence = Evidence("nvidia-smi", excerpt(said))
    if gpu_server.in_gpu_memory(facts):
        late = "; loaded models go on, the next one will run on the CPU"
        return proof.found(case, summary + late, evidence, *kernel, severity=Severity.WARNING)
    return proof.found(case, summary, evidence, *kernel)


RULES = (
    Rule(
        nvidia_driver_missing,
        Severity.ERROR,
        steps=(
            Step(
                "Install NVIDIA's driver, 570 or newer, of the distribution.",
                "sudo ubuntu-drivers install || sudo apt install nvidia-driver",
            ),
            Step("Reboot.", "sudo reboot"),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        verify="nvidia-smi -L",
    ),
    Rule(
        nouveau_loaded,
        Severity.ERROR,
        steps=(
            Step(
                "Keep nouveau from the card.",
                "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n'"
                " | sudo tee /etc/modprobe.d/blacklist-nouveau.conf && sudo update-initramfs -u",
            ),
            Step(
                "Install NVIDIA's driver, 570 or newer.",
                "sudo ubuntu-drivers install || sudo apt install nvidia-driver",
            ),
            Step("Reboot.", "sudo reboot"),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        verify="nvidia-smi -L",
    ),
    Rule(
        nvidia_version_mismatch,
        Severity.ERROR,
        steps=(
            Step("Reboot: the new module is loaded then.", "sudo reboot"),
            Step(
                "Keep it from happening again: upgrade the driver only together with a reboot.",
                "sudo apt-mark hold 'nvidia-driver*'",
            ),
        ),
        explains=("gpu-not-used", "cpu-fallback"),
        verify="nvidia-smi -L",
    ),
)
