"""What would make answers of a host faster, in order of what it would gain by its own numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reaper_ops.core.doctor import timing
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.slow import history, loading, processor
from reaper_ops.core.facts.traces import Timing
from reaper_ops.core.values import full_model_name, human_bytes

ANSWER = 256
EACH, FIRST, SECOND = "each answer", "the first answer after a pause", "the second of two answers at once"
ON_GPU = 3.0
"""How much faster the guide's own table has Llama 3 (8B) on a GPU than on a CPU: 120 to 40 tokens per second."""


@dataclass(frozen=True)
class Gain:
    """seconds: saved of an answer of 256 tokens, 0 for nothing, None where it cannot be told. rate: tokens per second
    afterwards. measured: no more than this host's own numbers are in it; else an assumption that `how` names."""

    id: str
    remedy: str
    seconds: float | None
    how: str
    of: str = EACH
    rate: float | None = None
    measured: bool = False


def gains(case: HostEvidence) -> tuple[Gain, ...]:
    """The guide's four remedies and ours that this host's state calls for: most to gain first, nothing to gain last."""
    found = [gain for look in _REMEDIES if (gain := look(case)) is not None]
    return tuple(sorted(found, key=lambda gain: (_rank(gain), -(gain.seconds or 0.0))))


def _rank(gain: Gain) -> int:
    return 1 if gain.seconds is None else 0 if gain.seconds >= 0.05 else 2


def _timings(case: HostEvidence) -> tuple[Timing, ...]:
    return case.traces.timings or ()


def _rate(case: HostEvidence) -> float:
    warm = timing.alone(_timings(case))
    return timing.rate(warm) if warm else 0.0


def _faster(case: HostEvidence, id_: str, remedy: str, factor: float, how: str) -> Gain:
    """A remedy that makes tokens come `factor` times as fast."""
    rate = _rate(case)
    if not rate:
        return Gain(id_, remedy, None, f"{how}; tokens per second were not measured")
    saved = ANSWER / rate - ANSWER / (rate * factor)
    return Gain(id_, remedy, saved, f"{rate:.1f} tokens/s measured, times {factor:.1f}: {how}", rate=rate * factor)


def _model(case: HostEvidence) -> str:
    """The model that was measured, or else the first that is resident."""
    warm = timing.alone(_timings(case))
    return warm.model if warm else next((row.name for row in case.seen.loaded or () if row.size), "")


def _on_cpu(case: HostEvidence) -> float | None:
    """The share of the model that the CPU computes; None when nothing is resident."""
    warm = timing.alone(_timings(case))
    if warm is not None and warm.on_gpu is not None:
        return 1 - warm.on_gpu
    row = next((row for row in case.seen.loaded or () if row.size and row.name == _model(case)), None)
    return None if row is None or not row.size else 1 - min(row.size_vram or 0, row.size) / row.size


def use_gpu(case: HostEvidence) -> Gain | None:
    share = _on_cpu(case)
    if share is None:
        return Gain("gpu-not-used", "use the GPU", None, "nothing is resident, so where it computes is not known")
    if share == 0:
        return Gain("gpu-not-used", "use the GPU", 0.0, "all of the model is in GPU memory")
    basis = f"the guide's table has {ON_GPU:.0f} times the tokens on a GPU"
    if share < 1:
        how = f"{100 * share:.0f} % of the model is computed on the CPU, and {basis}"
        remedy = "get all of the model into GPU memory"
        return _faster(case, "partial-cpu-offload", remedy, 1 + (ON_GPU - 1) * share, how)
    there = case.facts is not None and case.facts.gpu.vendor() != "none"
    remedy = "use the GPU that is there" if there else "use a host with a GPU"
    return _faster(case, "gpu-not-used", remedy, ON_GPU, f"all is computed on the CPU, and {basis}")


def smaller_model(case: HostEvidence) -> Gain | None:
    """Each token reads all weights once, so its time goes with their size."""
    sizes = {full_model_name(model.name): model.size for model in case.seen.models or () if model.size}
    own = sizes.get(full_model_name(_model(case)))
    fits = {name: size for name, size in sizes.items() if own and size <= 0.6 * own}
    if own and fits:
        name = max(fits, key=fits.__getitem__)
        how = f"its weights are {human_bytes(fits[name])} instead of {human_bytes(own)}"
        return _faster(case, "", f"use a smaller model, such as {name} of this host", own / fits[name], how)
    return _faster(case, "", "use a smaller model or quantization", 2.0, "one of half the size, if there is one")


def more_cores(case: HostEvidence) -> Gain | None:
    cores, limit, share = case.facts.system.cpus if case.facts else None, processor.quota(case), _on_cpu(case)
    if share == 0:
        return Gain("cpu-quota-or-no-avx", "give it more cores", 0.0, "the GPU computes, not the CPU")
    if cores and limit and limit < cores:
        how = f"it may use {limit:g} of {cores} cores, if memory is fast enough for more"
        return _faster(case, "cpu-quota-or-no-avx", f"let it use all {cores} cores", cores / limit, how)
    said = f"all {cores} cores are used already" if cores else "the number of cores was not read"
    return Gain("cpu-quota-or-no-avx", "give it more cores", 0.0 if cores else None, said)


def free_memory(case: HostEvidence) -> Gain | None:
    """The share of time in which all tasks stood still for memory is time that answers lost."""
    pressure, memory, rate = case.traces.pressure, case.facts.memory if case.facts else None, _rate(case)
    others = [p for p in case.traces.processes or () if p.rss and "ollama" not in p.command]
    largest = sorted(others, key=lambda p: -(p.rss or 0))[:2]
    named = ", ".join(f"{p.command.split()[0].rpartition('/')[2]} ({human_bytes(p.rss or 0)})" for p in largest)
    remedy = "close other applications"
    who = f"{remedy}: {named}" if named else remedy
    swapping = f", {case.traces.swap_rate:.0f} pages/s swapped" if case.traces.swap_rate else ""
    if pressure is not None and pressure.full >= 1:
        how = f"all tasks stood still for memory in {pressure.full:.0f} % of the time{swapping}"
        saved = ANSWER / rate * pressure.full / 100 if rate else None
        return Gain("swap-thrashing", who, saved, how, measured=saved is not None)
    if swapping:
        return Gain("swap-thrashing", who, None, swapping.lstrip(", "))
    free = f"{human_bytes(memory.available)} of memory free" if memory else ""
    none = None if pressure is None and memory is None else 0.0
    return Gain("swap-thrashing", remedy, none, f"nothing waits for memory; {free}" if free else "memory was not read")


def keep_loaded(case: HostEvidence) -> Gain | None:
    remedy, cold, warm = "keep the model loaded", timing.at_start(_timings(case)), timing.alone(_timings(case))
    if cold is not None:
        less = cold.load - (warm.load if warm else 0.0)
        how = f"load_duration {cold.load:.1f} s cold, {warm.load if warm else 0.0:.1f} s warm"
        return Gain("cold-start-unload", remedy, max(0.0, less), how, FIRST, measured=True)
    took = [load.seconds for load in loading.run(case).loads if load.ended == "done" and load.seconds]
    if not took:
        return Gain("cold-start-unload", remedy, None, "no load was measured; `doctor --slow --load` does", FIRST)
    how = f"its log has {len(took)} load{'s' if len(took) > 1 else ''}, {sum(took) / len(took):.1f} s each"
    return Gain("cold-start-unload", remedy, sum(took) / len(took), how, FIRST, measured=True)


def more_slots(case: HostEvidence) -> Gain | None:
    pair = timing.together(_timings(case))
    if len(pair) < 2:
        return None
    last = max(pair, key=timing.queue)
    waited = timing.queue(last)
    saved = waited * ANSWER / last.eval_tokens if last.eval_tokens else waited
    how = f"of two at once, one waited {waited:.2f} s for {last.eval_tokens} tokens; at most, as they then share power"
    return Gain("same-model-queueing", "answer more requests at once", saved, how, SECOND, measured=True)


def fewer_others(case: HostEvidence) -> Gain | None:
    warm = timing.alone(_timings(case))
    waited = timing.queue(warm) if warm else 0.0
    if waited < 0.5:
        return None
    how = f"a lone request waited {waited:.1f} s for requests of others"
    return Gain("same-model-queueing", "send less, or share it among hosts", waited, how, measured=True)


def one_context(case: HostEvidence) -> Gain | None:
    found = loading.run(case)
    again = history.again(found.loads, loading.keep_alive(case))
    lost = [load.seconds for before, load in again if before.context != load.context and load.seconds]
    return _lost(found, lost, "context-reload-thrash", "one context for all clients")


def room_for_both(case: HostEvidence) -> Gain | None:
    found = loading.run(case)
    again = history.again(found.loads, loading.keep_alive(case))
    lost = [load.seconds for before, load in again if loading.between(found.loads, before, load) and load.seconds]
    return _lost(found, lost, "model-swap-thrash", "room for both models, or a host for each")


def _lost(found: history.History, lost: list[float], id_: str, remedy: str) -> Gain | None:
    answers = sum(row.status == 200 for row in found.served)
    if len(lost) < 2 or not answers:
        return None
    how = f"{len(lost)} loads of {sum(lost):.0f} s in all, over {answers} answers"
    return Gain(id_, remedy, sum(lost) / answers, how, measured=True)


def less_heat(case: HostEvidence) -> Gain | None:
    held = processor.thermal_or_power_throttle(case)
    if held is None:
        return None
    return Gain("thermal-or-power-throttle", "cool the GPU", None, f"{held.summary}; by how much shows only afterwards")


_REMEDIES: tuple[Callable[[HostEvidence], Gain | None], ...] = (
    use_gpu,
    smaller_model,
    more_cores,
    free_memory,
    keep_loaded,
    more_slots,
    fewer_others,
    one_context,
    room_for_both,
    less_heat,
)
