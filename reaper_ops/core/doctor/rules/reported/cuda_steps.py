"""What helps, by CUDA's code, where the rule's own steps do not fit."""

from __future__ import annotations

from collections.abc import Mapping

from reaper_ops.core.doctor.finding import Step

_RELOAD = (
    Step("Stop the server and every other program that uses the GPU.", "sudo fuser -v /dev/nvidia-uvm"),
    Step("Load the module again; where that fails, reboot.", "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"),
    Step("Start the server.", "{start}"),
)
_HMM = (
    Step(
        "If the card or the driver is new, switch off the module's heterogeneous memory management (HMM), which some"
        " drivers and kernels do not survive.",
        "echo 'options nvidia_uvm uvm_disable_hmm=1' | sudo tee /etc/modprobe.d/nvidia-uvm.conf",
    ),
    *_RELOAD,
)
_STALE = (
    *_RELOAD,
    Step("If it comes back after each sleep, let the driver save GPU memory: NVreg_PreserveVideoMemoryAllocations=1."),
)
_LOST = (
    Step("Restart the container, which gives it the devices again.", "{restart}"),
    Step("See whether the GPU works in it.", "docker exec ollama nvidia-smi"),
    Step(
        "For good: name the devices by CDI (`--device nvidia.com/gpu=all`), or set"
        ' `"exec-opts": ["native.cgroupdriver=cgroupfs"]` in /etc/docker/daemon.json. `systemctl daemon-reload` takes'
        " them away otherwise."
    ),
)
_BOARD = (
    Step("See whether this is a Jetson, and which JetPack it has.", "cat /etc/nv_tegra_release"),
    Step(
        "On a Jetson, use the build for its JetPack (the archive ollama-linux-arm64-jetpack5 or -jetpack6), a newer"
        " version, or an image made for the board; OLLAMA_LLM_LIBRARY chooses a library."
    ),
    Step("On another machine, compare the driver's version with the CUDA library's.", "nvidia-smi"),
)
BY_CODE: Mapping[int, tuple[Step, ...]] = {3: _HMM, 46: _RELOAD, 800: _LOST, 801: _BOARD, 999: _STALE}
