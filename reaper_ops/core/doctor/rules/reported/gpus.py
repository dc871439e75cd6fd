"""Why a GPU cannot be used, in the words of drivers and libraries."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reported.finding import reported
from reaper_ops.core.doctor.rules.rule import Rule

CPU = ("gpu-not-used", "cpu-fallback")
RESTART = Step("Restart the server.", "{restart}")


def nvidia_fabric_manager(case: HostEvidence) -> Finding | None:
    """NVIDIA's fabric manager does not run, or is of another version than the driver.

    Machines with NVSwitch (HGX, DGX) need nvidia-fabricmanager of exactly the driver's version before any GPU can
    compute. nvidia-smi works without it; CUDA does not.

    Signals:
    - CUDA error 802, `system not yet initialized`
    - `nvidia-smi -q` shows `Fabric State: In Progress`

    Not to be confused with:
    - nvidia-uvm-stale: codes 3, 46 and 999, on machines of every kind.

    Sources:
    - https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/
    - https://github.com/ollama/ollama/issues/11963
    """
    return reported(case, "nvidia-fabric-manager")


def nvidia_open_module(case: HostEvidence) -> Finding | None:
    """The open flavor of NVIDIA's kernel modules does not support this card.

    The open modules need a GPU System Processor, which cards before Turing (Pascal, Volta, Maxwell) do not have.
    Several distributions install the open flavor by default.

    Signals:
    - `NVRM: … not supported by open nvidia.ko because it does not include the required GPU System Processor (GSP)`
    - `RmInitAdapter failed!`, and nvidia-smi says `No devices were found`

    Not to be confused with:
    - gpu-xid-fault: the card worked, and failed.
    - nvidia-driver-missing: no module is loaded.

    Sources:
    - https://github.com/NVIDIA/open-gpu-kernel-modules
    """
    return reported(case, "nvidia-open-module")


def vgpu_unlicensed(case: HostEvidence) -> Finding | None:
    """The virtual GPU has no license, so CUDA is slow or does not work.

    An NVIDIA vGPU asks a license server at its start. Without a license, its clocks and then its functions are
    restricted.

    Signals:
    - `device doesn't have valid Grid license`, CUDA code 102
    - `nvidia-smi -q` shows `License Status: Unlicensed`

    Not to be confused with:
    - thermal-or-power-throttle: a physical card that slows down.

    Sources:
    - https://docs.nvidia.com/vgpu/
    """
    return reported(case, "vgpu-unlicensed")


def cuda_initialization_failed(case: HostEvidence) -> Finding | None:
    """CUDA does not start on this host, by a code that several causes share.

    The code says what CUDA met: no card, a card that others hold alone, a permission, a service (MPS) that does not
    run.

    Signals:
    - `no CUDA-capable device is detected` (100), `busy or unavailable` (46), `operation not supported` (801)

    Not to be confused with:
    - nvidia-uvm-stale: codes 3 and 999.
    - visible-devices-misset: a variable hides the card.

    Sources:
    - CUresult in cuda.h of the CUDA toolkit
    """
    return reported(case, "cuda-initialization-failed")


def jetson_libraries(case: HostEvidence) -> Finding | None:
    """This release has no CUDA libraries for the JetPack of this Jetson.

    A Jetson's GPU needs libraries that are built for its JetPack (L4T R35, R36, …). Those for other machines fail with
    CUDA code 801.

    Signals:
    - `cudaSetDevice err: 801` on a Jetson
    - models run on the CPU on a board with /etc/nv_tegra_release

    Not to be confused with:
    - nvidia-driver-too-old: on other machines.

    Sources:
    - docs/linux.mdx of Ollama
    - https://github.com/ollama/ollama/issues/18067
    """
    found = reported(case, "jetson-libraries")
    facts = case.facts
    if found is not None or facts is None or facts.system.jetpack is None:
        return found
    return _on_jetson(reported(case, "cuda-initialization-failed"))


def _on_jetson(found: Finding | None) -> Finding | None:
    if found is None:
        return None
    summary = f"the release's CUDA libraries do not fit this Jetson's JetPack: {found.summary}"
    return Finding(summary, found.evidence, found.confidence)


def vulkan_driver_fault(case: HostEvidence) -> Finding | None:
    """The Vulkan driver does not start, or loses the device while a model computes.

    The driver is older than what the server asks of it, is missing for this card, or has a defect that the load brings
    out. The server then falls back to the CPU, or its runner ends.

    Signals:
    - `VK_ERROR_DEVICE_LOST`, `ErrorIncompatibleDriver`, `ErrorInitializationFailed`

    Not to be confused with:
    - rocm-vulkan-oom: the device is full, or one buffer is too large.

    Sources:
    - VkResult in the Vulkan specification
    """
    return reported(case, "vulkan-driver-fault")


RULES = (
    Rule(
        nvidia_fabric_manager,
        Severity.ERROR,
        steps=(
            Step(
                "See the driver's version, and whether the fabric manager runs.",
                "nvidia-smi --query-gpu=driver_version --format=csv; pgrep -a nv-fabricmanager",
            ),
            Step(
                "Install nvidia-fabricmanager of exactly that version, and start it.",
                "sudo systemctl enable --now nvidia-fabricmanager",
            ),
            Step("If the GPUs stay uninitialized, reboot.", "sudo reboot"),
        ),
        explains=CPU,
        needs=("journal.log",),
    ),
    Rule(
        nvidia_open_module,
        Severity.ERROR,
        steps=(
            Step("See which flavor is loaded: `Dual MIT/GPL` is the open one.", "modinfo -F license nvidia"),
            Step(
                "Install the proprietary (closed) flavor of the driver, 580 or older: packages without `-open` in"
                " their name."
            ),
            Step("Reboot, so that its modules are loaded.", "sudo reboot"),
        ),
        explains=(*CPU, "gpu-xid-fault", "nvidia-driver-missing"),
        needs=("kernel.log",),
    ),
    Rule(
        vgpu_unlicensed,
        Severity.ERROR,
        steps=(
            Step("See the license's state.", "nvidia-smi -q | grep -i -A 2 license"),
            Step(
                "Put the client token into /etc/nvidia/ClientConfigToken, and restart the license client.",
                "sudo systemctl restart nvidia-gridd",
            ),
            Step("Or have the administrator of the hypervisor pass the whole card through."),
            RESTART,
        ),
        explains=CPU,
        needs=("journal.log",),
    ),
    Rule(
        cuda_initialization_failed,
        Severity.ERROR,
        steps=(
            Step(
                "See whether the driver lists the card, its compute mode, and who uses it.",
                "nvidia-smi --query-gpu=name,compute_mode --format=csv",
            ),
            Step("In a container, see whether it was given the GPU.", "docker exec ollama nvidia-smi"),
            Step("If the compute mode is exclusive, make it the default.", "sudo nvidia-smi -c DEFAULT"),
            RESTART,
        ),
        explains=CPU,
        needs=("journal.log",),
    ),
    Rule(
        jetson_libraries,
        Severity.ERROR,
        steps=(
            Step("See which JetPack this is.", "cat /etc/nv_tegra_release"),
            Step("Install the archive for that JetPack (ollama-linux-arm64-jetpack5 or -jetpack6) beside the release."),
            Step(
                "For a JetPack that has none yet, use a newer version of Ollama, or an image that is made for "
                "the board."
            ),
            RESTART,
        ),
        explains=(*CPU, "cuda-initialization-failed", "gpu-library-missing"),
        needs=("journal.log",),
    ),
    Rule(
        vulkan_driver_fault,
        Severity.ERROR,
        steps=(
            Step("See what the Vulkan driver reports by itself.", "vulkaninfo --summary"),
            Step("Upgrade Mesa or the vendor's driver, or use CUDA or ROCm instead: remove OLLAMA_VULKAN."),
            RESTART,
        ),
        explains=(*CPU, "runner-crash-other"),
        needs=("journal.log",),
    ),
)
