"""What helps, by the signature of the line, where the rule's own steps do not fit."""

from __future__ import annotations

from collections.abc import Mapping

from reaper_ops.core.doctor.finding import Step
from reaper_ops.core.doctor.rules.reported import client_steps, gpu_steps

_LIBRARIES = "ls -d /usr/local/lib/ollama/* /usr/lib/ollama/*"
_BATCH = (
    Step("Use a smaller batch: `num_batch` 128 in the request's options makes the largest buffer smaller."),
    Step("Reduce the context (`num_ctx`), or keep some layers on the CPU (`num_gpu`)."),
    Step("Or use another driver for the card instead of Vulkan's: ROCm for AMD, CUDA for NVIDIA, a newer Mesa."),
)
_SWAP = (
    Step("Disable and remove the present swap file; it was never in use.", "swapon --show"),
    Step(
        "On btrfs, make a new one without copy-on-write and without holes.",
        "sudo btrfs filesystem mkswapfile --size 8g /swap/swapfile",
    ),
    Step("With older btrfs tools: `chattr +C` on the empty file, then fill it with dd, not with truncate."),
    Step("Or set `swap_kind: zram` or another `swap_path` in the inventory.", "{up}"),
)
_PORT = (
    Step("See which program holds the port.", "sudo ss -ltnp 'sport = :{port}'"),
    Step(
        "If it is the host's own Ollama service and the container is to serve, stop and disable that service.",
        "sudo systemctl disable --now ollama",
    ),
    Step('Or publish the container on another port, such as `ports: ["11435:11434"]`.'),
)
_AMD = (
    Step("See what the kernel says of the card.", "sudo dmesg | grep -i amdgpu | tail -n 40"),
    Step("Install the newest kernel of the distribution (or its OEM kernel) and current linux-firmware, then reboot."),
    Step("Until then use Vulkan instead of ROCm: set OLLAMA_VULKAN=1 and OLLAMA_LLM_LIBRARY=vulkan for the server."),
)
_HEALTH = (
    Step('Let the health check call what the image has: `test: ["CMD", "ollama", "list"]` in the Compose file.'),
    Step("Recreate the container.", "docker compose up -d"),
)
_FIRST_BYTE = (
    Step('Have clients stream (`"stream": true`), so that the first byte comes early.'),
    Step("Keep the model loaded: `keep_alive` -1, or OLLAMA_KEEP_ALIVE=-1 for the server."),
    Step("Raise the proxy's read timeout; where it cannot be raised (Cloudflare: 100 s), go past the proxy, directly."),
)
_DIED = (
    Step(
        "Read what the runner wrote before it died: the first error counts.",
        "{all_log} | grep -n -m 3 -i -e assert -e error -e signal",
    ),
    Step("If it computed by Vulkan, try another backend: remove OLLAMA_VULKAN, or use CUDA or ROCm."),
    Step("Run the same model on the CPU (`num_gpu: 0`), then another model: it shows whether GPU or file is at fault."),
    Step("Try another version of Ollama, newer or the last that worked."),
)
_HOST_SWAP = (
    Step("Make and activate the swap file on the host of the container, or raise the container's swap limit there."),
    Step("See what swap the container has.", "swapon --show; free -h"),
)
_MOUNT = (
    Step("Make the directory, then start the container again.", "mkdir -p {path}"),
    Step("Or correct the path in the unit, the Compose file or the command that starts it."),
)
_URL = (
    Step("Write the base URL whole and once, with scheme and port: http://HOST:11434, and no quotes or spaces."),
    Step("Where a form asks for host and port apart, enter the name without http://."),
)
_CPU_BUILD = (
    Step(
        "See which libraries there are: a build for GPUs has cuda_*, rocm* or vulkan beside those for the CPU.",
        _LIBRARIES,
    ),
    Step(
        "From a distribution's package: install the one for the GPU as well, such as ollama-cuda, ollama-rocm or"
        " ollama-vulkan; from source: build with the GPU's tool kit."
    ),
    Step(
        "From a downloaded release: install this version again from its whole archive, over the present files; AMD"
        " needs the -rocm archive, too."
    ),
    Step("Restart the server.", "{restart}"),
)
_POD = (
    Step(
        "Read the events of the pod, and why its container ended.",
        "kubectl describe pod -l app.kubernetes.io/name=ollama",
    ),
    Step(
        "Read what the container wrote before it ended.",
        "kubectl logs -l app.kubernetes.io/name=ollama --previous --tail=100",
    ),
    Step(
        "If a start hook or the probe ends it while it pulls: pull by a job, and give the probe more time and failures."
    ),
    Step(
        "Correct the resource, the claim or the image that the events name, then apply the manifest or the chart again."
    ),
)
_ENGINE = (
    Step("See whether the engine runs.", "systemctl status docker --no-pager"),
    Step("Start it.", "sudo systemctl enable --now docker"),
    Step("If it runs, your user lacks the right: use sudo, or join the group docker."),
)
_MASKED = (Step("Unmask and start the unit.", "sudo systemctl unmask ollama && sudo systemctl enable --now ollama"),)
_NEEDED = (
    Step("See which unit failed.", "systemctl list-dependencies ollama; systemctl --failed"),
    Step("Mend the mount or the unit that it names, then start the server.", "sudo systemctl start ollama"),
)
_ALONE = (
    client_steps.WHERE,
    *client_steps.LISTEN[:1],
    Step("From a container, ask http://host.docker.internal:11434 instead of localhost.", ""),
    client_steps.GATEWAY[0],
    Step("If nothing listens, start the server.", "{start}"),
)
_READ_ONLY = (
    Step("See whether the file system itself is mounted read-only.", "findmnt --real"),
    Step(
        "If it is writable for you, the unit closes it (ProtectSystem=strict, as on NixOS): add "
        "ReadWritePaths= with the"
        " store to a drop-in; on NixOS, services.ollama.models does.",
        "systemctl show ollama -p ProtectSystem -p ReadWritePaths",
    ),
    Step("Restart the server.", "{restart}"),
)
_CUT = (
    Step("Ask the registry from the same host.", "curl -sSv -o /dev/null https://registry.ollama.ai/v2/"),
    Step("If it fails as well, ask who runs the network: firewall, proxy, VPN. Or pull over another network."),
    Step("Behind a proxy, set HTTPS_PROXY for the server itself, in its unit or container, and restart it."),
    Step("Pull again: a download goes on where it stopped."),
)
_KFD = (
    Step("See which groups own the device nodes (render and video, as a rule).", "ls -ln /dev/kfd /dev/dri"),
    Step("Put the server's user into them.", "sudo usermod -aG render,video ollama"),
    Step(
        "Give a container the devices and the groups' numbers: `--device /dev/kfd --device /dev/dri "
        "--group-add NUMBER`."
    ),
    Step("Restart the server.", "{restart}"),
)
_CARD_UNFIT = (
    Step("See the card's gfx type.", "rocminfo | grep -m 2 gfx"),
    Step(
        "See whether the server's user may open the device: it must be in the groups render and video.",
        "ls -l /dev/kfd",
    ),
    Step(
        "For a card without kernels of its own, set HSA_OVERRIDE_GFX_VERSION to that of the nearest one "
        "(10.3.0, 11.0.0)."
    ),
    Step("Or use Vulkan instead: set OLLAMA_VULKAN=1 for the server."),
)
BY_SIGNATURE: Mapping[str, tuple[Step, ...]] = {
    "runner-died": _DIED,
    "runner-gone": _DIED,
    "renamed-read-only": _READ_ONLY,
    "amd-kfd-permission": _KFD,
    "kfd-denied": _KFD,
    "pod-unscheduled": _POD,
    "pod-image": _POD,
    "pod-volume": _POD,
    "pod-restarts": _POD,
    "engine-down": _ENGINE,
    "unit-masked": _MASKED,
    "unit-dependency": _NEEDED,
    "front-end-alone": _ALONE,
    "no-gpu-said": gpu_steps.HAND_OVER,
    "page-not-found": _URL,
    "cpu-libraries-only": _CPU_BUILD,
    "swap-in-container": _HOST_SWAP,
    "mount-source-absent": _MOUNT,
    "url-malformed": _URL,
    "registry-cut": _CUT,
    "tensile-host": _CARD_UNFIT,
    "hip-fault": _AMD,
    "kfd-absent": _AMD,
    "unhealthy-dependency": _HEALTH,
    "vulkan-buffer-limit": _BATCH,
    "swap-file-refused": _SWAP,
    "swapfile-holes": _SWAP,
    "published-port-taken": _PORT,
    "amd-fault": _AMD,
    "rocm-no-device": _AMD,
    "health-check-program": _HEALTH,
    "cloudflare-timeout": _FIRST_BYTE,
    "gateway-timeout": _FIRST_BYTE,
}
