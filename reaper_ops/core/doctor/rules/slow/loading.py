"""Models that are loaded again and again: after idle time, for another context, for another model."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import timing
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow import history
from reaper_ops.core.doctor.rules.slow.history import History, LoggedLoad
from reaper_ops.core.health.report import Evidence

MEASURED, LOGGED = 5.0, 10.0


def run(case: HostEvidence) -> History:
    """The present run of the server, by its log."""
    return history.read(case.facts.journal if case.facts else None)


def keep_alive(case: HostEvidence) -> float | None:
    """Seconds that an idle model stays loaded; None without end."""
    return history.kept(case.environ.get("OLLAMA_KEEP_ALIVE") or case.settings.ollama_keep_alive)


def slots(case: HostEvidence) -> int:
    """How many requests one model answers at once."""
    written = case.environ.get("OLLAMA_NUM_PARALLEL", "")
    return int(written) if re.fullmatch(r"[1-9][0-9]{0,4}", written) else case.settings.ollama_num_parallel or 1


def cold_start_unload(case: HostEvidence) -> Finding | None:
    """The model is unloaded when idle, and the next answer waits until it is loaded again.

    An idle model leaves memory after five minutes, unless keep-alive is set otherwise. The next request loads it again:
    usually in ten seconds, in minutes where its file is no longer in the page cache.

    Signals:
    - the first token takes 10 to 270 s after a pause; then answers are fast
    - `load_duration` of the final object is most of `total_duration`
    - /api/ps is empty before the request

    Not to be confused with:
    - context-reload-thrash: the model is loaded again with another context, although it was not idle.
    - model-swap-thrash: another model took its place.

    Sources:
    - https://github.com/ollama/ollama/issues/4340
    - https://github.com/intelowlproject/IntelOwl/issues/3855
    """
    return _measured_start(case) or _logged_starts(case)


def _measured_start(case: HostEvidence) -> Finding | None:
    first = timing.at_start(case.traces.timings or ())
    if first is None or first.load < MEASURED or first.load < first.total / 2:
        return None
    share = f"{first.model}: load {first.load:.1f} s of {first.total:.1f} s"
    return Finding(
        f"the first answer of {first.model} waits {first.load:.0f} s until the model is loaded",
        (Evidence("POST /api/generate", share),),
        values={"model": first.model},
    )


def _logged_starts(case: HostEvidence) -> Finding | None:
    idle, loads = keep_alive(case), run(case).loads
    if idle is None:
        return None
    soon = {id(load) for _, load in history.again(loads, idle)}
    slow = [
        load
        for before, load in history.again(loads, None)
        if id(load) not in soon and (load.seconds or 0) >= LOGGED and before.context == load.context
    ]
    if len(slow) < 2:
        return None
    took = max(load.seconds or 0 for load in slow)
    return Finding(
        f"a model was loaded again {len(slow)} times after it had been idle; each load took up to {took:.0f} s",
        (
            *(Evidence("server log", load.shown) for load in slow[-2:]),
            Evidence("keep-alive", f"{idle:.0f} s"),
        ),
        Confidence.LIKELY,
    )


def context_reload_thrash(case: HostEvidence) -> Finding | None:
    """Clients ask for different contexts, and each change loads the model again.

    A loaded model has one context size. A request with another `num_ctx` (or `num_gpu`, `num_batch`) unloads it and
    loads it again; keep-alive does not help.

    Signals:
    - "the model unloads despite keep_alive -1"
    - `load_duration` is high when clients alternate; `context_length` of /api/ps changes back and forth

    Not to be confused with:
    - cold-start-unload: the model had been idle for as long as keep-alive.
    - model-swap-thrash: a different model was loaded in between, and the context is the same.
    - a load that failed and was repeated with a smaller context: the context does not come back.

    Sources:
    - https://github.com/ollama/ollama/issues/7773
    - https://github.com/ollama/ollama/issues/7408
    """
    found = run(case)
    pairs = [pair for pair in history.again(found.loads, keep_alive(case)) if _other_context(*pair)]
    for model in dict.fromkeys(load.model for _, load in pairs):
        changes = [(before.context, load.context) for before, load in pairs if load.model == model]
        if any((after, before) in changes for before, after in changes):
            return _reloads(case, found, [load for _, load in pairs if load.model == model])
    return None


def _other_context(before: LoggedLoad, load: LoggedLoad) -> bool:
    return before.context is not None and load.context is not None and before.context != load.context


def _reloads(case: HostEvidence, found: History, loads: list[LoggedLoad]) -> Finding:
    """The log has the context of all slots together, a setting that of one."""
    sizes = sorted({(load.context or 0) // slots(case) for load in loads})
    lost = sum(load.seconds or 0 for load in loads)
    clients = sorted({row.client for row in found.served})
    return Finding(
        f"a model was loaded again {len(loads)} times, because requests alternate between contexts of"
        f" {' and '.join(map(str, sizes))} tokens",
        (
            *(Evidence("server log", load.shown) for load in loads[-2:]),
            Evidence("server log", f"{lost:.1f} s of loading; clients: {', '.join(clients[:6]) or 'not logged'}"),
        ),
        Confidence.CERTAIN,
        values={"context": str(sizes[-1]), "clients": ", ".join(clients[:6]) or "all clients"},
    )


def model_swap_thrash(case: HostEvidence) -> Finding | None:
    """Two models evict each other from memory.

    They do not fit together, or only one may be loaded. Requests that alternate between them then load a model each
    time. Chat and embeddings are the usual pair.

    Signals:
    - every request is slow when two models alternate, and fast with only one of them
    - names in /api/ps alternate; `load_duration` is above 0 on most requests
    - `predicted to exceed available memory, evicting`

    Not to be confused with:
    - context-reload-thrash: the same model is loaded again, with another context.
    - models-overcommitted: a load fails, or the kernel kills a process.

    Sources:
    - https://github.com/ollama/ollama/issues/13227
    - https://github.com/ollama/ollama/blob/main/docs/faq.mdx (concurrency)
    """
    found = run(case)
    turns = [
        (before, load)
        for before, load in history.again(found.loads, keep_alive(case))
        if between(found.loads, before, load) and not _other_context(before, load)
    ]
    if len(turns) < 2 or len({load.model for _, load in turns}) < 2:
        return None
    limited = case.environ.get("OLLAMA_MAX_LOADED_MODELS") == "1" or case.settings.ollama_max_loaded_models == 1
    if not found.evictions and not limited and len(turns) < 4:
        return None
    why = found.evictions[-1] if found.evictions else "OLLAMA_MAX_LOADED_MODELS=1" if limited else ""
    lost = sum(load.seconds or 0 for _, load in turns)
    return Finding(
        f"models evict each other from memory: {len(turns)} alternating loads took {lost:.0f} s",
        (
            *(Evidence("server log", load.shown) for _, load in turns[-2:]),
            *((Evidence("server log" if found.evictions else "environment", excerpt(why, 160)),) if why else ()),
        ),
        Confidence.CERTAIN if found.evictions else Confidence.LIKELY if limited else Confidence.POSSIBLE,
        steps=(_SMALLER, _APART) if found.evictions and not limited else (_MORE_MODELS, _SMALLER, _APART),
    )


def between(loads: tuple[LoggedLoad, ...], before: LoggedLoad, load: LoggedLoad) -> bool:
    first, last = loads.index(before), loads.index(load)
    return any(other.model != load.model and other.ended != "failed" for other in loads[first + 1 : last])


_MORE_MODELS = Step("If memory allows, raise `ollama_max_loaded_models` in the inventory, then apply it.", "{up}")
_SMALLER = Step("Make the models smaller: lower `ollama_context_length`, or use a smaller quantization.", "{up}")
_APART = Step('Or separate them: run embeddings on the CPU (`"options": {"num_gpu": 0}`), or on another host.')

RULES = (
    Rule(
        cold_start_unload,
        Severity.WARNING,
        steps=(
            Step(
                "Keep idle models loaded: set `ollama_keep_alive: 24h` (or -1) in the inventory, then apply it.", "{up}"
            ),
            Step(
                "Load the model now, and after each start of the server.",
                'curl http://127.0.0.1:{port}/api/generate -d \'{"model": "{model}", "keep_alive": -1}\'',
                unknown="Load the models that must answer fast now and after each start, each with a request to "
                "/api/generate that has no prompt and `keep_alive: -1`.",
            ),
            Step("If the load itself is slow, put the models on a local SSD: set `ollama_models_dir`.", "{up}"),
        ),
        needs=("journal.log",),
        verify="reaper-ops doctor {source} -l {host} --slow --load",
    ),
    Rule(
        context_reload_thrash,
        Severity.WARNING,
        steps=(
            Step("Remove `num_ctx` from the options that {clients} send."),
            Step(
                "Set one context for all: `ollama_context_length: {context}` in the inventory, then apply it.", "{up}"
            ),
            Step("Or set it in the model, with `PARAMETER num_ctx {context}` in its Modelfile."),
        ),
        needs=("journal.log",),
        verify="{recent_log} | grep -c -e 'starting llama-server' -e 'starting runner' -e 'starting llama server'",
    ),
    Rule(
        model_swap_thrash,
        Severity.WARNING,
        steps=(
            _MORE_MODELS,
            _SMALLER,
            _APART,
        ),
        explains=("queue-full-503",),
        needs=("journal.log",),
        verify="{recent_log} | grep -c evicting",
    ),
)
