"""Too much was asked for: context, models at once, a model larger than the host."""

from __future__ import annotations

import re
from dataclasses import replace

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict
from reaper_ops.core.doctor.rules.out_of_memory import kill_remedies as remedies
from reaper_ops.core.doctor.rules.out_of_memory import loads
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom
from reaper_ops.core.doctor.rules.out_of_memory.refusals import overcommit_or_ulimit
from reaper_ops.core.doctor.rules.out_of_memory.thrash import thrashing
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.probe import RunningModel
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.values import full_model_name

SMALL = 8192
LARGE = 32768
HUGE = 131072
ON_GPU = frozenset({"vram-oom-load", "vram-oom-runtime", "rocm-vulkan-oom"})
FOREVER = 2100
BUFFER = re.compile(r"attempted to allocate ([\d.]{1,16}) MB")
HARM = (
    "kernel-oom-kill",
    "container-memory-limit-oom",
    "systemd-memorymax-oom",
    "systemd-oomd-kill",
    "vram-oom-load",
    "vram-oom-runtime",
    "rocm-vulkan-oom",
    "ram-preflight-refused",
    "swap-thrashing",
    "partial-cpu-offload",
    "out-of-memory",
    "partial-offload",
)


def _ended(case: HostEvidence) -> Verdict | None:
    return next((v for v in case.verdicts if v.state is State.OUT_OF_MEMORY), None)


def _blob_size(case: HostEvidence, row: RunningModel) -> int:
    names = {full_model_name(model.name): model.size or 0 for model in case.seen.models or ()}
    return names.get(full_model_name(row.name), 0)


def context_oversized(case: HostEvidence) -> Finding | None:
    """The context is so long that its cache does not fit, although the model itself would.

    The cache grows with context times parallel requests. Up to 0.6.6 the default was 2048 tokens, then 4096; from
    0.15.5 it depends on GPU memory: 32768 from 23 GiB, 262144 from 47 GiB. A request or a Modelfile can ask for more.

    Signals:
    - a small model that takes tens of GiB, spills to the CPU, or ends for lack of memory, often after an upgrade
    - `/api/ps` shows `context_length` 32768 or 262144 and a `size` far above the model's own

    Not to be confused with:
    - ram-preflight-absent: the weights alone are larger than the host.
    - models-overcommitted: two or more models share the memory.
    - a long context that fits: configured so, not a fault.

    Sources:
    - https://github.com/ollama/ollama/issues/14116
    - https://github.com/ollama/ollama/issues/14073
    - server/routes.go of Ollama, `vram-based default context`
    """
    ended = _ended(case)
    if ended is not None:
        if overcommit_or_ulimit(case):
            return None
        finding = _by_load(case, ended) or _by_default(case) or _by_buffer(case, ended)
        return replace(finding, steps=remedies.started(case, finding.steps or _SHORTER)) if finding else None
    if case.state is State.PARTIAL_OFFLOAD or thrashing(case):
        return _by_rows(case)
    return None


def _by_load(case: HostEvidence, ended: Verdict) -> Finding | None:
    load = loads.failing(case)
    if load is None or load.context <= SMALL:
        return None
    gpu = ended.cause in ON_GPU
    have = headroom.vram(case) if gpu else (headroom.total(case) or 0) + headroom.swap(case)
    if load.weights:
        if load.kv < load.weights or (have and load.at(SMALL) > have):
            return None
        sizes = f"a cache of {headroom.gib(load.kv)}; the weights need {headroom.gib(load.weights)}"
        summary = f"a context of {load.context} tokens{_source(case, load.context)} needs {sizes}"
        return Finding(summary, _evidence(case, load), steps=_shorter(case, load.context))
    if load.context < LARGE:
        return None
    summary = f"the load that failed had a context of {load.context} tokens{_source(case, load.context)}"
    return Finding(summary, _evidence(case, load), Confidence.LIKELY, steps=_shorter(case, load.context))


def _evidence(case: HostEvidence, load: loads.FailedLoad) -> tuple[Evidence, ...]:
    found = [Evidence("server log", load.line)]
    if load.weights:
        weights, cache, work = (headroom.gib(size) for size in (load.weights, load.kv, load.compute))
        parts = f"weights {weights}, cache {cache}, compute buffers {work}"
        found.append(Evidence("server log, memory breakdown", parts))
    if load.reduced:
        found.append(Evidence("server log", "Ollama had already lowered an automatic context once"))
    return tuple(found)


def _default(case: HostEvidence) -> tuple[int, str]:
    """The default that the server chose, and for how much GPU memory."""
    found = (0, "")
    for hit in case.log_hits:
        if hit.signature.id == "default-context":
            found = (int(hit.groups["context"]), hit.groups["vram"])
    return found


def _source(case: HostEvidence, context: int) -> str:
    """Where the context is from, in words; nothing where the log does not show the default."""
    default, vram = _default(case)
    if _configured(case, context):
        return " (OLLAMA_CONTEXT_LENGTH)"
    if context == default:
        return f" (Ollama's default for {vram} of GPU memory)"
    return " (from the request or the Modelfile)" if _requested(case, context) else ""


def _configured(case: HostEvidence, context: int) -> bool:
    return case.environ.get("OLLAMA_CONTEXT_LENGTH", "") == str(context)


def _requested(case: HostEvidence, context: int) -> bool:
    """Neither the server's setting nor its default, of which one was read."""
    default = _default(case)[0] or case.environ.get("OLLAMA_CONTEXT_LENGTH", "")
    return default not in {0, "", "0", context} and not _configured(case, context)


def _shorter(case: HostEvidence, context: int) -> tuple[Step, ...]:
    """A setting does not change what a request or a Modelfile asks for."""
    if _requested(case, context):
        return (_CLIENT, _CACHE)
    return (_SET, _CACHE) if _source(case, context) else _SHORTER


def _by_default(case: HostEvidence) -> Finding | None:
    """The log no longer shows the load, but the default that applied to it."""
    default, vram = _default(case)
    if default < HUGE or case.environ.get("OLLAMA_CONTEXT_LENGTH", "0") not in {"", "0"} or loads.failing(case):
        return None
    summary = f"models load with a context of {default} tokens, Ollama's default for {vram} of GPU memory"
    evidence = (Evidence("server log", f"default_num_ctx={default}"),)
    return Finding(summary, evidence, Confidence.LIKELY, steps=(_SET, _CACHE))


def _by_buffer(case: HostEvidence, ended: Verdict) -> Finding | None:
    """One allocation failed on a host without limits: mostly the cache, which is one large buffer."""
    if ended.cause != "context-oversized":
        return None
    buffer = BUFFER.search(" ".join(item.text for item in ended.evidence))
    size = headroom.gib(float(buffer[1]) * (1 << 20)) if buffer else "one large buffer"
    summary = f"an allocation of {size} failed, most likely for the cache of a long context"
    return Finding(summary, ended.evidence, Confidence.LIKELY)


def _by_rows(case: HostEvidence) -> Finding | None:
    for row in case.seen.loaded or ():
        size, own, context = row.size or 0, _blob_size(case, row), row.context or 0
        spilled = (row.size_vram or 0) < size
        if not own or context < LARGE or size <= 1.6 * own or not spilled:
            continue
        smaller = own + (size - own) * SMALL // context
        have = headroom.vram(case)
        if have and case.state is State.PARTIAL_OFFLOAD and smaller > have:
            continue
        summary = f"{row.name} needs {headroom.gib(size)} with a context of {context} tokens{_source(case, context)}"
        shown = Evidence(
            "GET /api/ps", f"{row.name}: context {context}, {headroom.gib(size)}; its file {headroom.gib(own)}"
        )
        summary = f"{summary}; its weights need {headroom.gib(own)}"
        return Finding(summary, (shown,), Confidence.LIKELY, severity=_severity(case), steps=_shorter(case, context))
    return None


def _severity(case: HostEvidence) -> Severity | None:
    """A model that is partly on the CPU still answers."""
    return Severity.WARNING if case.state is State.PARTIAL_OFFLOAD and not thrashing(case) else None


def models_overcommitted(case: HostEvidence) -> Finding | None:
    """More models are kept in memory than fit together.

    The default is three for each GPU, or three on a CPU; `keep_alive: -1` pins a model forever. Typical: one model for
    chat, one for embeddings, one for completion.

    Signals:
    - out of memory, or slow, only when a second model is used
    - `/api/ps` lists several models, some of which expire in the year 2318

    Not to be confused with:
    - context-oversized: one model alone does not fit.
    - vram-held-by-others: the memory is held by a program that is not Ollama.

    Sources:
    - docs/faq.mdx of Ollama
    - https://github.com/ollama/ollama/issues/13227
    """
    if context_oversized(case):
        return None
    rows = [row for row in case.seen.loaded or () if row.size]
    load, ended = loads.failing(case), _ended(case)
    shown = tuple(Evidence("GET /api/ps", _row(row)) for row in rows)
    if len(rows) >= 2 and (ended or thrashing(case) or _crowded(case, rows)):
        together = sum(row.size or 0 for row in rows)
        summary = f"{len(rows)} models are in memory at once, {headroom.gib(together)} together"
        idle = next((row.name for row in rows if not _pinned(row)), rows[0].name)
        return Finding(summary, shown, Confidence.LIKELY, {"model": idle}, _severity(case), (_UNLOAD, *_fewer(rows)))
    if ended and load is not None and load.resident >= 2:
        summary = f"{load.resident} models were already in memory when the next load ran out of it"
        line = Evidence("server log", f'"loaded runners" count={load.resident}, then {load.line}')
        return Finding(summary, (line, *shown), Confidence.LIKELY, steps=remedies.started(case, _FEWER))
    return None


def _fewer(rows: list[RunningModel]) -> tuple[Step, ...]:
    """Only a model that is pinned has a client that pins it."""
    return _FEWER if any(_pinned(row) for row in rows) else _FEWER[:1]


def _row(row: RunningModel) -> str:
    stays = "pinned" if _pinned(row) else f"until {row.expires_at}" if row.expires_at else "until it is idle"
    return f"{row.name}: {headroom.gib(row.size or 0)}, {stays}"


def _pinned(row: RunningModel) -> bool:
    return row.expires_at[:4].isdigit() and int(row.expires_at[:4]) > FOREVER


def _crowded(case: HostEvidence, rows: list[RunningModel]) -> bool:
    """One of them is partly on the CPU and would fit into GPU memory alone."""
    have = headroom.vram(case)
    return any(row.size_vram and row.size and row.size_vram < row.size <= have for row in rows)


def ram_preflight_absent(case: HostEvidence) -> Finding | None:
    """An installed model is larger than main memory, swap and GPU memory together, and Ollama will not refuse it.

    Up to 0.24 Ollama refused such a load. From 0.30 it does not: the host swaps or freezes, or the kernel kills.

    Signals:
    - no error until the model is used; then `signal: killed`, or minutes without an answer

    Not to be confused with:
    - ram-preflight-refused: versions up to 0.24 refuse the load.
    - context-oversized: the weights fit, the context's cache does not.

    Sources:
    - Ollama's commit 9db4bdbad
    - https://github.com/ollama/ollama/issues/14130
    """
    version = case.seen.version or case.settings.ollama_version
    memory = headroom.total(case)
    if signatures.engine(version) != "new" or memory is None or case.facts is None or case.facts.memory is None:
        return None
    have = memory + headroom.swap(case) + headroom.vram(case)
    models = sorted(((m.size or 0, m.name) for m in case.seen.models or ()), reverse=True)
    size, name = models[0] if models else (0, "")
    if size <= have:
        return None
    ended, failed = _ended(case), _failed_model(case)
    if ended is not None and failed and full_model_name(failed) != full_model_name(name):
        return None
    main, swap, gpu = (headroom.gib(part) for part in (memory, headroom.swap(case), headroom.vram(case)))
    shown = (
        Evidence("GET /api/tags", f"{name}: {headroom.gib(size)}"),
        Evidence("meminfo", f"memory {main}, swap {swap}, GPU {gpu}"),
    )
    together = f"main memory, swap and GPU memory together are {headroom.gib(have)}"
    summary = f"{name} takes {headroom.gib(size)}, but {together}; Ollama {version} does not refuse to load it"
    confidence = Confidence.LIKELY if ended is not None and not failed else Confidence.CERTAIN
    severity = Severity.ERROR if ended is not None else Severity.WARNING
    return Finding(summary, shown, confidence, {"model": name}, severity, remedies.started(case, _replace(case)))


def _replace(case: HostEvidence) -> tuple[Step, ...]:
    """Nothing enforces `ollama_memory_max` without systemd or Docker; one that is set already protects the host."""
    enforced = case.settings.ollama_runtime != "process" and not case.settings.ollama_memory_max
    return _REPLACE if enforced else _REPLACE[:1]


def _failed_model(case: HostEvidence) -> str:
    """The model whose load failed, where log and store show it."""
    load = loads.failing(case)
    for store in case.traces.stores or ():
        for manifest in store.manifests:
            if load is not None and load.blob and load.blob in manifest.layers:
                return manifest.name
    return ""


_SET = Step("Set `ollama_context_length: 8192`, or what the work needs, in the inventory; then", "{up}")
_CACHE = Step("Or halve the cache: `ollama_kv_cache_type: q8_0` with `ollama_flash_attention: true`; then", "{up}")
_CLIENT = Step("Lower `num_ctx` where it is set: in the client's requests or in the Modelfile.")
_SHORTER = (_SET, _CACHE, _CLIENT)
_UNLOAD = Step("Unload {model}, if it is idle.", "{ollama} stop {model}", Automate.ASK, "unload")
_FEWER = (
    Step("Set `ollama_max_loaded_models: 1` and a shorter `ollama_keep_alive` in the inventory; then", "{up}"),
    Step("If a client pins a model with `keep_alive: -1`, remove that from its requests."),
)

_REPLACE = (
    Step("Replace {model} with a smaller model or quantization under `ollama_models`; then", "{up}"),
    Step("Or protect the rest of the host: set `ollama_memory_max`, so that the load fails at once; then", "{up}"),
)

RULES = (
    Rule(
        context_oversized,
        Severity.ERROR,
        steps=_SHORTER,
        explains=HARM,
        needs=("journal.log",),
    ),
    Rule(
        models_overcommitted,
        Severity.ERROR,
        steps=(_UNLOAD, *_FEWER),
        explains=HARM,
        needs=("http", "journal.log"),
    ),
    Rule(
        ram_preflight_absent,
        Severity.WARNING,
        steps=_REPLACE,
        explains=(
            "kernel-oom-kill",
            "container-memory-limit-oom",
            "systemd-memorymax-oom",
            "systemd-oomd-kill",
            "swap-thrashing",
            "out-of-memory",
        ),
        needs=("http", "meminfo.txt"),
    ),
)
