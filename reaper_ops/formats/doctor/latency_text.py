"""`doctor --slow` for people: where the time went, and what would gain how much."""

from __future__ import annotations

from collections.abc import Sequence

from reaper_ops.core.doctor import timing
from reaper_ops.core.doctor.latency import ANSWER, EACH, Gain
from reaper_ops.core.facts.traces import Timing
from reaper_ops.formats.visible import one_line

NAMES = {"load": "load", "prompt": "prompt", "eval": "tokens", "queue": "waiting", "outside": "outside the server"}


def text(host: str, timings: Sequence[Timing], gains: Sequence[Gain]) -> str:
    """One host. Without timings it says so, and what the log and the state alone tell."""
    good = [gain for gain in gains if gain.seconds is not None and gain.seconds >= 0.05]
    unknown = [gain for gain in gains if gain.seconds is None]
    none = [gain for gain in gains if gain.seconds is not None and gain.seconds < 0.05]
    lines = [f"{host}: {_speed(timings)}", *_split(timings), *(f"  ! {_failed(t)}" for t in timings if t.error)]
    lines += [f"  {place}. {_gain(gain)}" for place, gain in enumerate(good, 1)]
    lines += [f"  ?  {gain.remedy}: {gain.how}" for gain in unknown]
    if none:
        lines.append(f"  nothing to gain: {'; '.join(f'{gain.remedy} ({gain.how})' for gain in none)}")
    return "\n".join(map(one_line, lines))


def _speed(timings: Sequence[Timing]) -> str:
    warm = timing.alone(timings)
    if warm is None:
        return (
            "nothing was measured; no model is resident, and none was loaded for this" if not timings else "no answer"
        )
    first = warm.load + warm.prompt + timing.queue(warm)
    return f"{warm.model}, {timing.rate(warm):.1f} tokens/s, first token after {_time(first)}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _split(timings: Sequence[Timing]) -> list[str]:
    shares = timing.split(timings)
    if not shares.largest:
        return []
    parts = [
        f"{said} {_time(shares.seconds(name))} ({100 * shares.seconds(name) / shares.whole:.0f} %)"
        for name, said in NAMES.items()
        if shares.seconds(name) >= 0.005 * shares.whole
    ]
    return [f"  {len(timings)} answers, where their time went: {', '.join(parts)}"]


def _failed(found: Timing) -> str:
    return f"{found.model}{' (cold)' if found.cold else ''}: {found.error}, after {_time(found.wall)}"


def _gain(gain: Gain) -> str:
    of = f"{gain.of} of {ANSWER} tokens" if gain.of == EACH else gain.of
    after = f", {gain.rate:.1f} tokens/s" if gain.rate else ""
    basis = "measured" if gain.measured else "estimated"
    return f"{gain.remedy}: {_time(gain.seconds or 0.0)} less of {of}{after} ({basis}: {gain.how})"
