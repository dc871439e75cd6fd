"""Memory of the host, its limits and the GPU (group C of the catalogue)."""

from reaper_ops.core.doctor.rules.out_of_memory import crashes, kills, refusals, sizes, thrash, vram

ORDER = (
    "ram-preflight-refused",
    "ram-preflight-absent",
    "kernel-oom-kill",
    "container-memory-limit-oom",
    "systemd-memorymax-oom",
    "oompolicy-stops-service",
    "systemd-oomd-kill",
    "vram-oom-load",
    "vram-oom-runtime",
    "vram-held-by-others",
    "rocm-vulkan-oom",
    "context-oversized",
    "models-overcommitted",
    "no-swap",
    "swap-thrashing",
    "swapfile-unsupported-fs",
    "container-free-underestimated",
    "create-quantize-oom",
    "wsl2-memory-cap",
    "overcommit-or-ulimit",
    "runner-crash-other",
)
_JOINED = (*sizes.RULES, *kills.RULES, *vram.RULES, *refusals.RULES, *thrash.RULES, *crashes.RULES)
RULES = tuple(sorted(_JOINED, key=lambda rule: ORDER.index(rule.id)))
