"""NVIDIA's links up to the container."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.rules import gpu_server
from reaper_ops.core.doctor.rules.gpu_link import Link
from reaper_ops.core.facts.gpu_chain import NvidiaGpu
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.environment import version_key
from reaper_ops.core.inventory.settings import Settings

LLAMA_SERVER = (0, 30)
FLOOR = 550
FLOOR_OLD_CARD = 570
FLOOR_BEFORE = 531
OLD_CARD = (7, 0)
COMPUTE_MIN = (5, 0)
DRIVER = "install the driver of the distribution (or set `gpu_install_driver: true`) and reboot"
SMI_ERRORS = (
    (r"version mismatch", "nvidia-version-mismatch", "reboot: the driver was upgraded under the loaded module"),
    (r"couldn't communicate|Driver Not Loaded", "nvidia-driver-missing", DRIVER),
    (r"Insufficient Permissions", "gpu-not-used", "allow the device nodes: SELinux, or the container's own limits"),
    (r"blocked by the operating system", "wsl2-gpu", "update WSL and the Windows driver: `wsl --update`"),
    (r"No devices were found|Unable to determine the device handle|fallen off", "gpu-xid-fault", "see Xid lines"),
    (r"not a valid field", "nvidia-driver-too-old", "upgrade the driver to 570 or newer"),
    (r"did not (?:end|finish) in time", "gpu-xid-fault", "see `dmesg` for NVRM lines; a hung driver needs a reboot"),
    (r"Unknown Error", "nvml-unknown-container", "restart the container; CDI avoids it for good"),
)


def _own_stack(facts: Facts) -> bool:
    """Jetson and WSL: no PCI device, no nvidia module, other nodes."""
    return bool(facts.system.jetpack) or any(node.path == "/dev/dxg" for node in facts.gpu.nodes)


def pci(settings: Settings, facts: Facts) -> Link | None:
    gpu = facts.gpu
    if any(card.vendor == "10de" for card in gpu.pci) or _own_stack(facts) or "pci" in facts.unread:
        return None
    if gpu.nvidia or gpu.driver or "nvidia" in gpu.modules:
        return None
    seen = ", ".join(f"{card.slot} {card.vendor}:{card.device}" for card in gpu.pci) or "no display device"
    next_step = "check the card's seat and power and the BIOS; in a virtual machine, pass the card through"
    return Link("gpu-not-used", "pci", seen, "an NVIDIA display device (vendor 10de) on the PCI bus", next_step)


def module(settings: Settings, facts: Facts) -> Link | None:
    gpu = facts.gpu
    if _own_stack(facts) or "nvidia" in gpu.modules or gpu.driver or gpu.nvidia or "modules" in facts.unread:
        return None
    held = {card.driver for card in gpu.pci if card.vendor == "10de"}
    cards = ", ".join(f"{card.slot} held by {card.driver or 'no driver'}" for card in gpu.pci if card.vendor == "10de")
    missing = "the kernel module nvidia"
    if "vfio-pci" in held:
        step = "the card is reserved for a virtual machine; remove it from vfio-pci's ids and reboot"
        return Link("nvidia-driver-missing", "module", cards, missing, step)
    if "nouveau" in gpu.modules or "nouveau" in held:
        step = "blacklist nouveau, rebuild the initramfs, install NVIDIA's driver and reboot"
        return Link("nouveau-loaded", "module", f"nouveau is loaded; {cards}", missing, step)
    step = f"{DRIVER}; after a kernel upgrade, `dkms status` shows whether the module was built"
    return Link("nvidia-driver-missing", "module", cards, missing, step)


def nodes(settings: Settings, facts: Facts) -> Link | None:
    if _own_stack(facts) or "nodes" in facts.unread:
        return None
    there = {node.path for node in facts.gpu.nodes}
    seen = ", ".join(sorted(path for path in there if path.startswith("/dev/nvidia"))) or "no /dev/nvidia*"
    if "/dev/nvidiactl" not in there or not any(re.fullmatch(r"/dev/nvidia\d+", path) for path in there):
        step = "`nvidia-modprobe -u -c=0` makes the nodes; inside a container, give it the GPU"
        return Link("nvidia-driver-missing", "nodes", seen, "/dev/nvidiactl and /dev/nvidia0", step)
    if "/dev/nvidia-uvm" not in there:
        step = "`modprobe nvidia_uvm` (`nvidia-modprobe -u`), then restart Ollama"
        return Link("nvidia-uvm-stale", "nodes", seen, "/dev/nvidia-uvm, which CUDA needs", step)
    return None


def tool(settings: Settings, facts: Facts) -> Link | None:
    gpu = facts.gpu
    if gpu.nvidia_error is None:
        if gpu.nvidia == () and not _own_stack(facts):
            return Link("gpu-xid-fault", "tool", "nvidia-smi lists no GPU", "a GPU that answers", "see NVRM lines")
        return None if gpu.nvidia or _own_stack(facts) else _no_tool(facts)
    found = ((id_, step) for pattern, id_, step in SMI_ERRORS if re.search(pattern, gpu.nvidia_error or "", re.I))
    id_, step = next(found, ("gpu-not-used", "run `nvidia-smi` on the host and follow its message"))
    if id_ == "gpu-xid-fault":
        step = _xid(facts) or step
    return Link(id_, "tool", gpu.nvidia_error, "an answer from nvidia-smi", step)


def _no_tool(facts: Facts) -> Link | None:
    """nvidia-smi itself is not needed, but its package brings libcuda; a server that has a GPU settles it."""
    if facts.gpu.nvidia is not None or gpu_server.started_with_gpu(facts) or "nvidia-smi" in facts.unread:
        return None
    if not facts.tools:
        return None
    seen = f"driver {facts.gpu.driver or 'loaded'}, no nvidia-smi"
    return Link("nvidia-driver-missing", "tool", seen, "NVIDIA's user-space libraries and nvidia-smi", DRIVER)


def _xid(facts: Facts) -> str:
    found = re.findall(r"NVRM: Xid.*", facts.kernel or "")
    return f"the kernel says `{found[-1][:200]}`; look the number up in NVIDIA's Xid list" if found else ""


def floor(settings: Settings, facts: Facts) -> Link | None:
    """Whether this version of Ollama can use any of the cards with this driver (discover/cuda_compat.go)."""
    problems = [_below(settings.ollama_version, gpu) for gpu in facts.gpu.nvidia or ()]
    return problems[0] if problems and all(problems) else None


def _below(version: str, gpu: NvidiaGpu) -> Link | None:
    major = int(match[0]) if (match := re.match(r"\d{1,6}", gpu.driver)) else None
    compute = version_key(gpu.compute)[:2] if gpu.compute else None
    seen = f"{gpu.name}, compute {gpu.compute or 'unknown'}, driver {gpu.driver}"
    if compute and compute < COMPUTE_MIN:
        step = "this card is too old for Ollama's CUDA build; use the CPU, or OLLAMA_VULKAN=1"
        return Link("compute-capability-unsupported", "driver", seen, "compute capability 5.0 or newer", step)
    needed = FLOOR_BEFORE
    if version_key(version)[:2] >= LLAMA_SERVER:
        needed = FLOOR_OLD_CARD if compute and compute < OLD_CARD else FLOOR
    if major is None or major >= needed:
        return None
    step = f"upgrade the driver to {needed} or newer, or pin ollama_version to 0.24.0"
    if needed == FLOOR_BEFORE:
        step = f"upgrade the driver to {needed} or newer"
    return Link("nvidia-driver-too-old", "driver", seen, f"driver {needed} or newer for Ollama {version}", step)


def chosen(settings: Settings, facts: Facts) -> Link | None:
    if facts.gpu.nvidia is None:
        return None
    there = {gpu.uuid for gpu in facts.gpu.nvidia} | set(facts.gpu.mig) | {str(g.index) for g in facts.gpu.nvidia}
    parts = "nvidia-list" not in facts.unread  # only that list names the parts of a card
    absent = [device for device in settings.gpu_devices if device not in there and (parts or device[:4] != "MIG-")]
    if not absent:
        return None
    seen = ", ".join(gpu.uuid for gpu in facts.gpu.nvidia)
    step = "take UUIDs from `nvidia-smi -L` into gpu_devices"
    return Link("visible-devices-misset", "driver", seen, ", ".join(absent), step)


def toolkit(settings: Settings, facts: Facts) -> Link | None:
    """Docker only: the engine must know the GPU by a CDI specification or by the NVIDIA runtime."""
    docker = facts.docker
    if settings.ollama_runtime != "docker" or docker is None or not docker.running:
        return None
    if any(name.startswith("nvidia.com/gpu=") for name in facts.gpu.cdi or ()) or "nvidia" in docker.runtimes:
        return None
    if {"docker-info", "cdi-list", "cdi-specs"} & set(facts.unread):
        return None
    seen = (
        f"engine {docker.engine}, toolkit {facts.gpu.toolkit or 'not installed'}, runtimes {' '.join(docker.runtimes)}"
    )
    missing = "a CDI specification of the GPU, or the engine's runtime nvidia"
    step = "install nvidia-container-toolkit, then `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`"
    if facts.gpu.toolkit:
        step = "`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`; older engines: `nvidia-ctk runtime configure`"
    return Link("container-toolkit-missing", "toolkit", seen, missing, step)
