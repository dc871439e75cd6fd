"""What differs between distributions: how NVIDIA's driver, kernel headers and the initramfs are handled."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Step
from reaper_ops.core.doctor.rules.case import HostEvidence

REPOSITORY = "https://developer.download.nvidia.com/compute/cuda/repos/"
REBOOT = Step("Reboot.", "sudo reboot")
DRIVER = (Step("Install NVIDIA's driver, 570 or newer, from the distribution or from NVIDIA's repository."), REBOOT)
_INSTALL = {
    "ubuntu": Step("Install the driver that Ubuntu recommends for this card.", "sudo ubuntu-drivers install"),
    "debian": Step(
        "Install NVIDIA's driver (component non-free) and the headers that it is built with.",
        'sudo apt install "linux-headers-$(uname -r)" nvidia-driver',
    ),
    "redhat": Step(
        f"Install NVIDIA's driver from NVIDIA's repository ({REPOSITORY}).", "sudo dnf install cuda-drivers"
    ),
}
_UPGRADE = {
    "ubuntu": Step(
        "Upgrade to driver 580, which takes every card that Ollama uses.", "sudo apt install nvidia-driver-580"
    ),
    "debian": Step(
        f"Upgrade to driver 580, which takes every card that Ollama uses, from NVIDIA's repository ({REPOSITORY});"
        " Debian's own may be too old.",
        "sudo apt install cuda-drivers-580",
    ),
    "redhat": Step(f"Upgrade the driver from NVIDIA's repository ({REPOSITORY}).", "sudo dnf install cuda-drivers"),
}
_HEADERS = {
    "debian": 'sudo apt install "linux-headers-$(uname -r)" && sudo dkms autoinstall',
    "redhat": 'sudo dnf install "kernel-devel-$(uname -r)" && sudo dkms autoinstall',
}
_INITRAMFS = {"debian": "sudo update-initramfs -u", "arch": "sudo mkinitcpio -P"}


def _family(case: HostEvidence) -> str:
    return case.facts.system.family if case.facts else ""


def _package(case: HostEvidence, steps: dict[str, Step], otherwise: Step) -> Step:
    name = case.facts.system.os_id if case.facts else ""
    return steps.get(name) or steps.get(_family(case)) or otherwise


def driver(case: HostEvidence) -> tuple[Step, ...]:
    """How to install NVIDIA's driver on this host."""
    return (_package(case, _INSTALL, DRIVER[0]), REBOOT)


def newer_driver(case: HostEvidence) -> tuple[Step, ...]:
    """How to upgrade it beyond what the distribution may have."""
    otherwise = Step("Upgrade NVIDIA's driver to 580, from the distribution or from NVIDIA's repository.")
    return (_package(case, _UPGRADE, otherwise), REBOOT)


def headers(case: HostEvidence) -> str:
    return _HEADERS.get(_family(case), "sudo dkms autoinstall")


def initramfs(case: HostEvidence) -> str:
    return _INITRAMFS.get(_family(case), "sudo dracut --force")
