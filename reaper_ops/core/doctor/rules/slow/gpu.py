"""Slow because the GPU does little or nothing."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow.loading import slots
from reaper_ops.core.health.probe import RunningModel
from reaper_ops.core.health.report import Evidence


def partial_cpu_offload(case: HostEvidence) -> Finding | None:
    """The model is only partly in GPU memory; the CPU computes the rest.

    Weights and context together are larger than the free GPU memory. Every token waits for the slow part, so even a
    small part on the CPU costs much speed.

    Signals:
    - `ollama ps` shows `40%/60% CPU/GPU`
    - the GPU is nearly idle and the CPU busy; answers are 10 to 50 times slower
    - /api/ps: `size_vram` above 0 and below `size`

    Not to be confused with:
    - gpu-not-used: `size_vram` is 0.
    - vram-held-by-others: another program holds the GPU memory.

    Sources:
    - https://github.com/ollama/ollama/issues/15634
    - https://github.com/ollama/ollama/issues/8393
    - https://github.com/ollama/ollama/issues/6008
    """
    verdict = case.verdict_of("partial-cpu-offload")
    if verdict is None:
        return None
    row = next(r for r in case.seen.loaded or () if r.size and r.size_vram and r.size_vram < r.size)
    smaller = max(2048, (row.context or 8192) // 2)
    evidence = (*verdict.evidence, *_layers(case))
    return Finding(verdict.summary, evidence, values={"context": str(smaller)}, steps=_smaller(case, row, smaller))


def _smaller(case: HostEvidence, row: RunningModel, context: int) -> tuple[Step, ...]:
    """Only what the settings have not used yet."""
    settings = case.settings
    cache = case.environ.get("OLLAMA_KV_CACHE_TYPE") or settings.ollama_kv_cache_type or "f16"
    steps = (
        (_CONTEXT, (row.context or 8192) > context),
        (_CACHE, cache in {"f16", "bf16", "f32"}),
        (_QUANTIZATION, True),
        (_PARALLEL, slots(case) > 1),
    )
    return tuple(step for step, helps in steps if helps)


def _layers(case: HostEvidence) -> tuple[Evidence, ...]:
    lines = signatures.hits(("layers-offloaded",), case.facts.journal if case.facts else None)
    if not lines or lines[-1].groups["layers"] == lines[-1].groups["all"]:
        return ()
    return (Evidence("server log", excerpt(lines[-1].line, 160)),)


def gpu_not_used(case: HostEvidence) -> Finding | None:
    """The host has a GPU, but models run on the CPU.

    The findings of the group "GPU" name a reason. This finding stands alone where the evidence shows none of them.

    Signals:
    - `ollama ps` shows `100% CPU`
    - /api/ps: `size_vram` 0 for every model
    - `inference compute id=cpu library=cpu` in the log of a host that has a GPU

    Not to be confused with:
    - partial-cpu-offload: some of the model is in GPU memory.
    - a request with `num_gpu: 0`, which asks for the CPU.

    Sources:
    - https://github.com/ollama/ollama/issues/17290
    - https://github.com/ollama/ollama/issues/16415
    """
    verdict = case.verdict_of("gpu-not-used")
    return Finding(verdict.summary, verdict.evidence) if verdict else None


_CONTEXT = Step("Reduce the context: set `ollama_context_length: {context}` in the inventory, then apply it.", "{up}")
_CACHE = Step(
    "Halve the memory of the context: set `ollama_kv_cache_type: q8_0` and `ollama_flash_attention: true`.", "{up}"
)
_QUANTIZATION = Step("Use a smaller quantization or a smaller model: change `ollama_models`.", "{up}")
_PARALLEL = Step("Lower `ollama_num_parallel`; each slot has a context of its own.", "{up}")

RULES = (
    Rule(
        partial_cpu_offload,
        Severity.WARNING,
        steps=(_CONTEXT, _CACHE, _QUANTIZATION, _PARALLEL),
        explains=("partial-offload", "client-timeout-too-short"),
        needs=("http",),
        verify="reaper-ops probe {source} -l {host}",
    ),
    Rule(
        gpu_not_used,
        Severity.ERROR,
        steps=(
            Step(
                "Read why the server did not use the GPU: it logs the reason at its start.",
                "{all_log} | grep -i -e discover -e compute -e driver | tail -n 20",
            ),
            Step("If the log shows no reason, set `ollama_debug: true` in the inventory, then apply it.", "{up}"),
        ),
        explains=("cpu-fallback", "client-timeout-too-short"),
        needs=("journal.log",),
        verify="reaper-ops verify {source} -l {host}",
    ),
)
