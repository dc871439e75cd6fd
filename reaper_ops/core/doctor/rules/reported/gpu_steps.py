"""What helps where the log shows that a GPU is not, or not wholly, used."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Step

OTHER_LIBRARY = (
    Step(
        "See which libraries the release has: cuda_v12 must lie beside cuda_v13.",
        "ls -d /usr/local/lib/ollama/*/ /usr/lib/ollama/*/",
    ),
    Step(
        "If one is missing, install this version again from its whole archive, over the present files; for a container,"
        " pull the official image."
    ),
    Step("cuda_v12 needs NVIDIA's driver 570 or newer for cards with compute capability below 7.0.", "nvidia-smi"),
    Step("Then restart the server, and read what it finds.", "{restart}"),
)
HELD = (
    Step(
        "See which programs hold the GPU's memory.", "nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv"
    ),
    Step("See all that hold the card open, graphics programs too.", "sudo fuser -v /dev/nvidia* /dev/dri/*"),
    Step("Close the programs that are not needed, then load the model again."),
)
_SMALLER = Step("Use a smaller quantization or a smaller model, of which more layers fit.")
_CACHE = Step(
    "Halve the memory of the context: set OLLAMA_FLASH_ATTENTION=1 and OLLAMA_KV_CACHE_TYPE=q8_0 for the server."
)


def smaller(context: str) -> tuple[Step, ...]:
    """By the context that the log shows."""
    less = f"to {context}" if context else ""
    first = Step(
        f"Reduce the context {less} (num_ctx of the request, or OLLAMA_CONTEXT_LENGTH of the server).".replace(
            "  ", " "
        )
    )
    return (first, _CACHE, _SMALLER)


def unset(variable: str) -> tuple[Step, ...]:
    return (
        Step(
            f"Remove {variable} where it is set: the unit, a drop-in, the Compose file, the start script. Leave "
            f"it unset"
            " also for a card of the other vendor; OLLAMA_LLM_LIBRARY chooses a library."
        ),
        Step("Restart the server.", "{restart}"),
    )


HAND_OVER = (
    Step("See whether the host's own driver reaches the card.", "nvidia-smi || ls -l /dev/kfd /dev/dri"),
    Step(
        "A container must be given the card: `--gpus=all` with NVIDIA's Container Toolkit; for AMD the image"
        " ollama/ollama:rocm with `--device /dev/kfd --device /dev/dri`."
    ),
    Step(
        "In Kubernetes: a limit `nvidia.com/gpu: 1`, the device plugin, and `runtimeClassName: nvidia` where "
        "it is used."
    ),
    Step(
        "Where the release came from a distribution, install its GPU package as well (ollama-cuda, ollama-rocm);"
        " then restart the server."
    ),
    Step("If it still finds none, set OLLAMA_DEBUG=1, restart the server, and read the start of its log.", "{log}"),
)
DISCOVERY = (
    Step("Restart the server alone; the drivers are awake by then.", "{restart}"),
    Step(
        "Keep NVIDIA's driver initialized (persistence mode), so that the next search is quick.",
        "sudo nvidia-smi -pm 1",
    ),
    Step("If memory is short while the server starts, free some: the search starts a program for each library."),
)
