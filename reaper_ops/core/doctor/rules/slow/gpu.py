"""Slow because the GPU does little or nothing."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence


def partial_cpu_offload(case: HostEvidence) -> Finding | None:
    """The model is only partly in GPU memory; the rest is computed on the CPU.

    Weights and context together are larger than the free GPU memory. Every token then waits for the slow part, so a
    little on the CPU costs much.

    Signals:
    - `ollama ps` shows `40%/60% CPU/GPU`
    - the GPU is nearly idle and the CPU busy; 10 to 50 times slower than in GPU memory alone
    - /api/ps: `size_vram` above 0 and below `size`

    Not to be confused with:
    - gpu-not-used: there `size_vram` is 0.
    - vram-held-by-others: there another program has the memory.

    Sources:
    - https://github.com/ollama/ollama/issues/15634
    - https://github.com/ollama/ollama/issues/8393
    - https://github.com/ollama/ollama/issues/6008
    """
    verdict = case.blamed("partial-cpu-offload")
    if verdict is None:
        return None
    row = next(r for r in case.seen.loaded or () if r.size and r.size_vram and r.size_vram < r.size)
    smaller = max(2048, (row.context or 8192) // 2)
    return Finding(verdict.summary, (*verdict.evidence, *_layers(case)), values={"context": str(smaller)})


def _layers(case: HostEvidence) -> tuple[Evidence, ...]:
    said = signatures.hits(("layers-offloaded",), case.facts.journal if case.facts else None)
    if not said or said[-1].groups["layers"] == said[-1].groups["all"]:
        return ()
    return (Evidence("server log", excerpt(said[-1].line, 160)),)


def gpu_not_used(case: HostEvidence) -> Finding | None:
    """There is a GPU, and models run on the CPU.

    The group "GPU" has the reasons; this stands alone where none of them shows.

    Signals:
    - `ollama ps` shows `100% CPU`
    - /api/ps: `size_vram` 0 for every model
    - `inference compute id=cpu library=cpu` in the log, on a machine with a graphics card

    Not to be confused with:
    - partial-cpu-offload: some of the model is in GPU memory.
    - a request with `num_gpu: 0`, which asks for the CPU.

    Sources:
    - https://github.com/ollama/ollama/issues/17290
    - https://github.com/ollama/ollama/issues/16415
    """
    verdict = case.blamed("gpu-not-used")
    return Finding(verdict.summary, verdict.evidence) if verdict else None


RULES = (
    Rule(
        partial_cpu_offload,
        Severity.WARNING,
        steps=(
            Step("Less context: set `ollama_context_length: {context}` in the inventory, then apply it.", "{up}"),
            Step(
                "A context at half the size: `ollama_kv_cache_type: q8_0` and `ollama_flash_attention: true`.", "{up}"
            ),
            Step("A smaller quantization, or a smaller model, in `ollama_models`.", "{up}"),
            Step("Fewer at once: a lower `ollama_num_parallel`; each slot has a context of its own.", "{up}"),
        ),
        explains=("partial-offload", "client-timeout-too-short"),
        needs=("http",),
        verify="reaper-ops probe {source} -l {host}",
    ),
    Rule(
        gpu_not_used,
        Severity.ERROR,
        steps=(
            Step(
                "Look for the reason that the server gave at its start.",
                "{all_log} | grep -i -e discover -e compute -e driver | tail -n 20",
            ),
            Step("Set `ollama_debug: true` in the inventory and apply it; the next start says more.", "{up}"),
        ),
        explains=("cpu-fallback", "client-timeout-too-short"),
        needs=("journal.log",),
        verify="reaper-ops verify {source} -l {host}",
    ),
)
