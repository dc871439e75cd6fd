"""GPU memory: too little at load, too little later, held by others."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as room
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.traces import GpuUser, Running
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.values import full_model_name

CAUSES = frozenset({"vram-oom-load", "vram-oom-runtime", "rocm-vulkan-oom"})
WHILE_RUNNING = "error was encountered while running the model"
_ASKED = re.compile(r"allocating (?P<mib>[\d.]+) MiB|buffer of size (?P<bytes>\d+)")
RUNNER = re.compile(r"llama-server|ollama\S{0,64} runner|ollama_llama_server")


def _verdict(case: HostEvidence) -> Verdict | None:
    return next((v for v in case.verdicts if v.state is State.OUT_OF_MEMORY and v.cause in CAUSES), None)


def _kind(case: HostEvidence, verdict: Verdict) -> str:
    """ggml prints `cudaMalloc failed` for AMD cards too, so the card decides, not the text."""
    compute = case.log.compute
    library = compute.groups["library"].lower() if compute else ""
    vendor = case.facts.gpu.vendor() if case.facts else ""
    if verdict.cause == "rocm-vulkan-oom" or library in {"rocm", "vulkan"} or (vendor == "amd" and library != "cuda"):
        return "rocm-vulkan-oom"
    said = " ".join(shown.text for shown in verdict.evidence)
    later = WHILE_RUNNING in said or (case.log.failed_load is None and _expired(case))
    return "vram-oom-runtime" if later else "vram-oom-load"


def _expired(case: HostEvidence) -> bool:
    lines = case.log_hits
    return any(hit.signature.id == "runtime-oom" for hit in lines)


def _finding(case: HostEvidence, kind: str, summary: str) -> Finding | None:
    verdict = _verdict(case)
    if verdict is None or _kind(case, verdict) != kind:
        return None
    shown = [*verdict.evidence]
    for card in case.traces.gpu_load or ():
        if card.free is not None and card.total is not None:
            shown.append(
                Evidence("nvidia-smi", f"{card.uuid[:12]}: {room.gib(card.free)} free of {room.gib(card.total)}")
            )
    return Finding(summary + _asked(verdict), tuple(shown))


def _asked(verdict: Verdict) -> str:
    found = _ASKED.search(" ".join(shown.text for shown in verdict.evidence))
    if found is None:
        return ""
    size = float(found["mib"]) * (1 << 20) if found["mib"] else float(found["bytes"])
    return f"; one buffer of {room.gib(size)} was asked for"


def vram_oom_load(case: HostEvidence) -> Finding | None:
    """A model did not fit into GPU memory when it was loaded.

    The estimate was too low, somebody else holds memory, the context is huge, or layers were forced with `num_gpu`.

    Signals:
    - `llama runner process has terminated: cudaMalloc failed: out of memory`; from 0.30 `llama-server reported
      out-of-memory during startup: ...`
    - `unable to allocate CUDA0 buffer`; on older builds a bare `exit status 2`

    Not to be confused with:
    - vram-oom-runtime: the load succeeded, an answer ended.
    - rocm-vulkan-oom: the card is not NVIDIA's, whatever the text says.
    - kernel-oom-kill: main memory, with a line of the kernel.

    Sources:
    - https://github.com/ollama/ollama/issues/8447
    - https://github.com/ollama/ollama/issues/9782
    - https://github.com/ollama/ollama/issues/8984
    """
    return _finding(case, "vram-oom-load", "a model does not fit into GPU memory")


def vram_oom_runtime(case: HostEvidence) -> Finding | None:
    """GPU memory ran out while a loaded model was answering.

    Work space grew with the prompt or with images, or another program took memory meanwhile.

    Signals:
    - a stream that ends with `CUDA error: out of memory`, while its HTTP status stays 200
    - from 0.30 `runtime OOM detected; expiring loaded models` in the log

    Not to be confused with:
    - vram-oom-load: the load itself fails, every time.

    Sources:
    - https://github.com/ollama/ollama/issues/3765
    - https://github.com/ollama/ollama/issues/2752
    - docs/api/errors.mdx of Ollama
    """
    return _finding(case, "vram-oom-runtime", "GPU memory ran out while a model was answering")


def rocm_vulkan_oom(case: HostEvidence) -> Finding | None:
    """An AMD or Vulkan device ran out of memory.

    Graphics inside a processor shares main memory: its firmware reserves a part (UMA), the kernel lends more (GTT).

    Signals:
    - `hipMalloc failed`, `ROCm error: out of memory`, `ErrorOutOfDeviceMemory`
    - `cudaMalloc failed: out of memory` on an AMD card: ggml prints that for HIP too

    Not to be confused with:
    - vram-oom-load, vram-oom-runtime: NVIDIA's cards.

    Sources:
    - https://github.com/ollama/ollama/issues/3765
    - https://github.com/ollama/ollama/issues/14130
    - llm/status.go of Ollama
    """
    return _finding(case, "rocm-vulkan-oom", "a model does not fit into the memory of the AMD or Vulkan device")


def vram_held_by_others(case: HostEvidence) -> Finding | None:
    """GPU memory is held by programs that are not this Ollama server.

    A desktop, an image generator, another container, or a runner that outlived its server after a crash.

    Signals:
    - a model that fitted yesterday is now partly on the CPU, or does not load
    - little free GPU memory while `/api/ps` is empty

    Not to be confused with:
    - models-overcommitted: the memory is held by Ollama's own models.
    - vram-oom-load with nobody else on the card: the model itself is too large.
    - somebody else on the card while all promised models fit beside him: nothing is wrong.

    Sources:
    - https://github.com/ollama/ollama/issues/7606
    - https://github.com/ollama/ollama/issues/3765
    - https://github.com/ollama/ollama/issues/9496
    """
    users, own = case.traces.gpu_users, _own(case)
    if users is None or case.traces.processes is None or not own:
        return None
    others = [user for user in users if user.pid not in own]
    orphans = [user for user in others if _orphan(case, user)]
    held, total = sum(user.memory or 0 for user in others), room.vram(case)
    harm = _harm(case, held, total)
    if not orphans and not harm:
        return None
    shown = tuple(Evidence("nvidia-smi", f"pid {u.pid} {u.name}: {room.gib(u.memory or 0)}") for u in others)
    if orphans:
        first = orphans[0]
        summary = f"a runner without a server (pid {first.pid}) holds {room.gib(first.memory or 0)} of GPU memory"
        return Finding(summary, shown, values={"pid": str(first.pid)}, steps=(_END, _RESTART))
    names = ", ".join(dict.fromkeys(user.name.rsplit("/", 1)[-1] for user in others))
    summary = f"{names} holds {room.gib(held)} of {room.gib(total)} GPU memory{harm}"
    severe = Severity.WARNING if case.state is State.HEALTHY else None
    return Finding(summary, shown, Confidence.LIKELY, severity=severe)


def _own(case: HostEvidence) -> set[int]:
    """The server, its children and theirs, and all of its control group."""
    server = case.facts.process if case.facts else None
    if server is None:
        return set()
    rows = case.traces.processes or ()
    group = next((row.cgroup for row in rows if row.pid == server.pid), "")
    own = {server.pid} | {row.pid for row in rows if group and row.cgroup == group and "ollama" in group}
    for _ in rows:
        own |= {row.pid for row in rows if row.parent in own}
    return own


def _orphan(case: HostEvidence, user: GpuUser) -> bool:
    rows: dict[int, Running] = {row.pid: row for row in case.traces.processes or ()}
    row = rows.get(user.pid)
    return row is not None and row.parent == 1 and RUNNER.search(row.command) is not None


def _harm(case: HostEvidence, held: int, total: int) -> str:
    """What does not fit beside the others, in words; empty when nothing suffers."""
    if total == 0 or held < total // 20:
        return ""
    left = total - held
    for row in case.seen.loaded or ():
        if row.size and left < row.size <= total and (row.size_vram or 0) < row.size:
            return f"; {row.name} with {room.gib(row.size)} is partly on the CPU for that"
    if _verdict(case):
        return "; a model did not fit beside it"
    promised = {full_model_name(name) for name in case.expected}
    for model in case.seen.models or ():
        if full_model_name(model.name) in promised and model.size and left < model.size <= total:
            return f"; {model.name} with {room.gib(model.size)} does not fit beside it"
    return ""


_END = Step("End the runner that has no server.", "kill {pid}", Automate.ASK, "stop-process")
_RESTART = Step("If it stays, restart the server.", "{restart}", Automate.ASK, "restart")
_LESS = Step("Set `ollama_context_length: 8192` and `ollama_num_parallel: 1` in the inventory; then", "{up}")
_CACHE = Step("`ollama_kv_cache_type: q8_0` with `ollama_flash_attention: true` halves the cache; then", "{up}")
_ROOM = Step("Leave head-room on the card: `ollama_env: {OLLAMA_GPU_OVERHEAD: 536870912}`; then", "{up}")
_SMALLER = Step("Or choose a smaller model or quantization under `ollama_models`; then", "{up}")

RULES = (
    Rule(
        vram_oom_load,
        Severity.ERROR,
        steps=(_LESS, _CACHE, _ROOM, _SMALLER),
        explains=("out-of-memory",),
        needs=("journal.log",),
    ),
    Rule(
        vram_oom_runtime,
        Severity.ERROR,
        steps=(_ROOM, _LESS, _CACHE, _SMALLER),
        explains=("out-of-memory", "degraded"),
        needs=("journal.log",),
    ),
    Rule(
        vram_held_by_others,
        Severity.ERROR,
        steps=(
            Step("See who holds it, and stop what is not needed.", "nvidia-smi"),
            Step("Or keep that much free for them: `ollama_env: {OLLAMA_GPU_OVERHEAD: BYTES}`; then", "{up}"),
        ),
        explains=(
            "vram-oom-load",
            "vram-oom-runtime",
            "partial-cpu-offload",
            "gpu-not-used",
            "out-of-memory",
            "partial-offload",
            "cpu-fallback",
        ),
        needs=("ps.txt",),
    ),
    Rule(
        rocm_vulkan_oom,
        Severity.ERROR,
        steps=(
            _LESS,
            _ROOM,
            _SMALLER,
            Step("Graphics inside a processor: give it more memory in the firmware (UMA), or by `amdgpu.gttsize`."),
        ),
        explains=("out-of-memory",),
        needs=("journal.log",),
    ),
)
