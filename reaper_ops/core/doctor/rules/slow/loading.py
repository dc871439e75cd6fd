"""Models that are loaded again and again: after idleness, for another context, for another model."""

from __future__ import annotations

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
    """Seconds that an idle model stays, None for ever."""
    return history.kept(case.environ.get("OLLAMA_KEEP_ALIVE") or case.settings.ollama_keep_alive)


def cold_start_unload(case: HostEvidence) -> Finding | None:
    """The model is unloaded when idle, and each first answer waits for its load.

    An idle model leaves memory after five minutes, unless keep-alive says otherwise; the next request loads it again.
    Ten seconds are usual, minutes where its file is no longer in the page cache.

    Signals:
    - the first token takes 10 to 270 s after a pause; then answers are fast
    - `load_duration` of the final object is most of `total_duration`
    - /api/ps is empty before the request

    Not to be confused with:
    - context-reload-thrash: there the model is loaded again although it was not idle, with another context.
    - model-swap-thrash: there another model took its place.

    Sources:
    - https://github.com/ollama/ollama/issues/4340
    - https://github.com/intelowlproject/IntelOwl/issues/3855
    """
    return _measured_start(case) or _logged_starts(case)


def _measured_start(case: HostEvidence) -> Finding | None:
    first = timing.at_start(case.traces.timings or ())
    if first is None or first.load < MEASURED or first.load < first.total / 2:
        return None
    said = f"{first.model}: load {first.load:.1f} s of {first.total:.1f} s"
    return Finding(
        f"a cold answer of {first.model} waits {first.load:.0f} s for the load of the model",
        (Evidence("POST /api/generate", said),),
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
        f"a model was loaded again {len(slow)} times after it had been idle, each time up to {took:.0f} s",
        (
            *(Evidence("server log", load.shown) for load in slow[-2:]),
            Evidence("keep-alive", f"{idle:.0f} s"),
        ),
        Confidence.LIKELY,
    )


def context_reload_thrash(case: HostEvidence) -> Finding | None:
    """Clients ask for different contexts, and each change loads the model anew.

    A model in memory has one context. A request with another `num_ctx` (or `num_gpu`, `num_batch`) ends it and loads
    it again; keep-alive does not help.

    Signals:
    - "the model unloads despite keep_alive -1"
    - `load_duration` is high for clients in turn; `context_length` of /api/ps goes to and fro

    Not to be confused with:
    - cold-start-unload: there the model had been idle for as long as keep-alive.
    - model-swap-thrash: there a different model was loaded in between, and the context is the same.
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
            return _reloads(found, [load for _, load in pairs if load.model == model])
    return None


def _other_context(before: LoggedLoad, load: LoggedLoad) -> bool:
    return before.context is not None and load.context is not None and before.context != load.context


def _reloads(found: History, loads: list[LoggedLoad]) -> Finding:
    sizes = sorted({load.context or 0 for load in loads})
    lost = sum(load.seconds or 0 for load in loads)
    clients = sorted({row.client for row in found.served})
    return Finding(
        f"a model was loaded {len(loads)} times more for contexts of {' and '.join(map(str, sizes))} tokens in turn",
        (
            *(Evidence("server log", load.shown) for load in loads[-2:]),
            Evidence("server log", f"{lost:.1f} s of loading; clients: {', '.join(clients[:6]) or 'not logged'}"),
        ),
        Confidence.CERTAIN,
        values={"context": str(sizes[-1]), "clients": ", ".join(clients[:6]) or "your clients"},
    )


def model_swap_thrash(case: HostEvidence) -> Finding | None:
    """Two models push each other out of memory.

    They do not fit together, or only one may be loaded; so calls that alternate between them load at every turn. Chat
    beside embeddings is the usual pair.

    Signals:
    - every call is slow when two models are used in turn, and fast with one of them alone
    - names in /api/ps alternate; `load_duration` is above 0 on most calls
    - `predicted to exceed available memory, evicting`

    Not to be confused with:
    - context-reload-thrash: the same model is loaded again, with another context.
    - models-overcommitted: there a load fails, or the kernel kills.

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
        f"models push each other out of memory: {len(turns)} loads in turn, {lost:.0f} s of waiting",
        (
            *(Evidence("server log", load.shown) for _, load in turns[-2:]),
            *((Evidence("server log" if found.evictions else "environment", excerpt(why, 160)),) if why else ()),
        ),
        Confidence.CERTAIN if found.evictions else Confidence.LIKELY if limited else Confidence.POSSIBLE,
    )


def between(loads: tuple[LoggedLoad, ...], before: LoggedLoad, load: LoggedLoad) -> bool:
    first, last = loads.index(before), loads.index(load)
    return any(other.model != load.model and other.ended != "failed" for other in loads[first + 1 : last])


RULES = (
    Rule(
        cold_start_unload,
        Severity.WARNING,
        steps=(
            Step(
                "Keep idle models loaded: set `ollama_keep_alive: 24h` (or -1) in the inventory, then apply it.", "{up}"
            ),
            Step(
                "Load the model now, and after each start, before somebody asks.",
                'curl http://127.0.0.1:{port}/api/generate -d \'{"model": "{model}", "keep_alive": -1}\'',
                unknown="Load the models that must answer fast now and after each start, each with a request to "
                "/api/generate that has no prompt and `keep_alive: -1`.",
            ),
            Step("Where loading is slow by itself, put the models on a local SSD: set `ollama_models_dir`.", "{up}"),
        ),
        needs=("journal.log",),
        verify="reaper-ops doctor {source} -l {host} --slow --load",
    ),
    Rule(
        context_reload_thrash,
        Severity.WARNING,
        steps=(
            Step("Take `num_ctx` out of the options that clients send ({clients})."),
            Step("Set one for all: `ollama_context_length: {context}` in the inventory, then apply it.", "{up}"),
            Step("For one model alone, write it into the model: a Modelfile with `PARAMETER num_ctx {context}`."),
        ),
        needs=("journal.log",),
        verify="{recent_log} | grep -c -e 'starting llama-server' -e 'starting runner' -e 'starting llama server'",
    ),
    Rule(
        model_swap_thrash,
        Severity.WARNING,
        steps=(
            Step("Where memory allows, raise `ollama_max_loaded_models` in the inventory, then apply it.", "{up}"),
            Step("Else make them smaller: a lower `ollama_context_length`, a smaller quantization.", "{up}"),
            Step('Or part them: embeddings on the CPU (`"options": {"num_gpu": 0}`), or on another host.'),
        ),
        explains=("queue-full-503",),
        needs=("journal.log",),
        verify="{recent_log} | grep -c evicting",
    ),
)
