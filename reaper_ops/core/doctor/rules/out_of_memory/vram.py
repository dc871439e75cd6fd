"""GPU memory: too little at load, too little later, held by others."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom
from reaper_ops.core.doctor.rules.reported import finding as reported
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.traces import GpuUser, Running
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.values import full_model_name

CAUSES = frozenset({"vram-oom-load", "vram-oom-runtime", "rocm-vulkan-oom"})
WHILE_RUNNING = "error was encountered while running the model"
_BUFFER = re.compile(r"allocating (?P<mib>[\d.]+) MiB|buffer of size (?P<bytes>\d+)")
SERVICE = re.compile(r"/(?!ollama\.service)(?!user@\d{1,10}\.service)[^/]{1,255}\.service(?:/|$)")
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
    text = " ".join(item.text for item in verdict.evidence)
    later = WHILE_RUNNING in text or (case.log.failed_load is None and _expired(case))
    return "vram-oom-runtime" if later else "vram-oom-load"


def _expired(case: HostEvidence) -> bool:
    lines = case.log_hits
    return any(hit.signature.id == "runtime-oom" for hit in lines)


def _finding(case: HostEvidence, kind: str, summary: str, steps: tuple[Step, ...] | None = None) -> Finding | None:
    verdict = _verdict(case)
    if verdict is None or _kind(case, verdict) != kind:
        return None
    shown = [*verdict.evidence]
    for card in case.traces.gpu_load or ():
        if card.free is not None and card.total is not None:
            sizes = f"{headroom.gib(card.free)} free of {headroom.gib(card.total)}"
            shown.append(Evidence("nvidia-smi", f"{card.uuid[:12]}: {sizes}"))
    return Finding(summary + _requested(verdict), tuple(shown), steps=steps)


def _requested(verdict: Verdict) -> str:
    found = _BUFFER.search(" ".join(shown.text for shown in verdict.evidence))
    if found is None:
        return ""
    size = float(found["mib"]) * (1 << 20) if found["mib"] else float(found["bytes"])
    return f"; one buffer needs {headroom.gib(size)}"


def vram_oom_load(case: HostEvidence) -> Finding | None:
    """A model did not fit into GPU memory when Ollama loaded it.

    Ollama's estimate was too low, another program holds memory, the context is very long, or a request forces layers
    onto the GPU with `num_gpu`.

    Signals:
    - `llama runner process has terminated: cudaMalloc failed: out of memory`; from 0.30 `llama-server reported
      out-of-memory during startup: ...`
    - `unable to allocate CUDA0 buffer`; on older builds a bare `exit status 2`

    Not to be confused with:
    - vram-oom-runtime: the load succeeded, and an answer failed.
    - rocm-vulkan-oom: the card is not from NVIDIA, whatever the text says.
    - kernel-oom-kill: main memory, with a line in the kernel log.

    Sources:
    - https://github.com/ollama/ollama/issues/8447
    - https://github.com/ollama/ollama/issues/9782
    - https://github.com/ollama/ollama/issues/8984
    """
    return _finding(case, "vram-oom-load", "a model does not fit into GPU memory")


def vram_oom_runtime(case: HostEvidence) -> Finding | None:
    """GPU memory ran out while a loaded model was answering.

    The compute buffers grew with the prompt or with images, or another program took memory in the meantime.

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

    Integrated graphics shares main memory: the firmware reserves a part (UMA), and the kernel lends more (GTT).

    Signals:
    - `hipMalloc failed`, `ROCm error: out of memory`, `ErrorOutOfDeviceMemory`
    - `cudaMalloc failed: out of memory` on an AMD card: ggml prints that for HIP too

    Not to be confused with:
    - vram-oom-load, vram-oom-runtime: cards from NVIDIA.

    Sources:
    - https://github.com/ollama/ollama/issues/3765
    - https://github.com/ollama/ollama/issues/14130
    - llm/status.go of Ollama
    """
    limit = reported.buffer_limit(case)
    if limit is not None:
        return limit
    amd = case.facts is not None and (case.facts.gpu.vendor() == "amd" or "ROCm" in (case.facts.journal or ""))
    summary = f"a model does not fit into the memory of the {'AMD GPU' if amd else 'Vulkan device'}"
    return _finding(case, "rocm-vulkan-oom", summary, None if amd else (_LESS, _HEADROOM, _SMALLER))


def vram_held_by_others(case: HostEvidence) -> Finding | None:
    """Programs other than this Ollama server hold GPU memory.

    A desktop, an image generator, another container, or a runner that outlived its server after a crash.

    Signals:
    - a model that fit yesterday is now partly on the CPU, or does not load
    - little free GPU memory while `/api/ps` is empty

    Not to be confused with:
    - models-overcommitted: Ollama's own models hold the memory.
    - vram-oom-load with no other program on the card: the model itself is too large.
    - another program on the card, next to which all configured models fit: nothing is wrong.

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
    held, total = sum(user.memory or 0 for user in others), headroom.vram(case)
    harm = _harm(case, held, total)
    if not orphans and not harm:
        return None
    shown = tuple(Evidence("nvidia-smi", f"pid {u.pid} {u.name}: {headroom.gib(u.memory or 0)}") for u in others)
    severity = Severity.WARNING if case.state in {State.HEALTHY, State.PARTIAL_OFFLOAD} else None
    if orphans:
        first = orphans[0]
        summary = f"a runner without a server (pid {first.pid}) holds {headroom.gib(first.memory or 0)} of GPU memory"
        end = _END if case.settings.ollama_runtime == "process" else _END_AS_ROOT
        return Finding(summary, shown, Confidence.LIKELY, {"pid": str(first.pid)}, severity, (end, _RESTART))
    names = list(dict.fromkeys(user.name.rsplit("/", 1)[-1] for user in others))
    verb = "holds" if len(names) == 1 else "hold"
    summary = f"{', '.join(names)} {verb} {headroom.gib(held)} of {headroom.gib(total)} of GPU memory{harm}"
    largest = max(others, key=lambda user: user.memory or 0)
    values = {"pid": str(largest.pid), "name": largest.name.rsplit("/", 1)[-1]}
    steps = (_WHOSE, _RESERVE if _verdict(case) else _SMALLER)
    return Finding(summary, shown, Confidence.LIKELY, {**values, "bytes": str(held)}, severity, steps)


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
    """A runner that init adopted; the main process of another service has the same parent and is none."""
    rows: dict[int, Running] = {row.pid: row for row in case.traces.processes or ()}
    row = rows.get(user.pid)
    service = row is not None and SERVICE.search(row.cgroup) is not None
    return row is not None and not service and row.parent == 1 and RUNNER.search(row.command) is not None


def _harm(case: HostEvidence, held: int, total: int) -> str:
    """What does not fit next to the others, in words; empty when everything fits."""
    if total == 0 or held < total // 20:
        return ""
    left = total - held
    for row in case.seen.loaded or ():
        if row.size and left < row.size <= total and (row.size_vram or 0) < row.size:
            return f"; {row.name} with {headroom.gib(row.size)} is therefore partly on the CPU"
    if _verdict(case):
        return "; a model did not fit next to it"
    configured = {full_model_name(name) for name in case.expected}
    for model in case.seen.models or ():
        if full_model_name(model.name) in configured and model.size and left < model.size <= total:
            return f"; {model.name} with {headroom.gib(model.size)} does not fit next to it"
    return ""


_END = Step("End the runner that has no server.", "kill {pid}", Automate.ASK, "stop-process")
_END_AS_ROOT = Step("End the runner that has no server.", "sudo kill {pid}", Automate.ASK, "stop-process")
_RESTART = Step("If it does not end, restart the server.", "{restart}", Automate.ASK, "restart")
_WHOSE = Step("Find out whose {name} is, and stop it if nobody needs it.", "ps -o pid,user,lstart,args -p {pid}")
_RESERVE = Step("Or reserve that much on each GPU: `ollama_env: {OLLAMA_GPU_OVERHEAD: {bytes}}`; then", "{up}")
_LESS = Step("Set `ollama_context_length: 8192` and `ollama_num_parallel: 1` in the inventory; then", "{up}")
_CACHE = Step("Or halve the cache: `ollama_kv_cache_type: q8_0` with `ollama_flash_attention: true`; then", "{up}")
_HEADROOM = Step("Or leave headroom on the GPU: `ollama_env: {OLLAMA_GPU_OVERHEAD: 536870912}`; then", "{up}")
_FIRST = Step("Leave headroom on the GPU: `ollama_env: {OLLAMA_GPU_OVERHEAD: 536870912}`; then", "{up}")
_OR_LESS = Step("Or set `ollama_context_length: 8192` and `ollama_num_parallel: 1` in the inventory; then", "{up}")
_SMALLER = Step("Or choose a smaller model or quantization under `ollama_models`; then", "{up}")

RULES = (
    Rule(
        vram_oom_load,
        Severity.ERROR,
        steps=(_LESS, _CACHE, _HEADROOM, _SMALLER),
        explains=("out-of-memory",),
        needs=("journal.log",),
    ),
    Rule(
        vram_oom_runtime,
        Severity.ERROR,
        steps=(_FIRST, _OR_LESS, _CACHE, _SMALLER),
        explains=("out-of-memory", "degraded"),
        needs=("journal.log",),
    ),
    Rule(
        vram_held_by_others,
        Severity.ERROR,
        steps=(
            Step("Find the program that holds the memory, and stop it if nobody needs it.", "nvidia-smi"),
            _SMALLER,
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
            _HEADROOM,
            _SMALLER,
            Step(
                "For integrated graphics, give the GPU more memory: in the firmware (UMA), or with the kernel "
                "parameter `amdgpu.gttsize`."
            ),
        ),
        explains=("out-of-memory",),
        needs=("journal.log",),
    ),
)
