"""Requests that wait for other requests."""

from __future__ import annotations

from collections.abc import Sequence

from reaper_ops.core.doctor import timing
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow.history import Served
from reaper_ops.core.doctor.rules.slow.loading import run, slots
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.values import counted

RECENT = 200


def same_model_queueing(case: HostEvidence) -> Finding | None:
    """A model gets more requests than it answers at once, and the others wait.

    A loaded model answers `OLLAMA_NUM_PARALLEL` requests at a time, one by default. The others wait without a limit and
    without a log line; `OLLAMA_MAX_QUEUE` does not count them.

    Signals:
    - answers take longer the more clients there are, without any 503
    - clients time out under load
    - `total_duration` is much longer than load, prompt and eval together

    Not to be confused with:
    - queue-full-503: that queue is for models that wait to be loaded, and it ends in 503.
    - runaway-generation: one request never ends, and none behind it is answered.

    Sources:
    - https://github.com/ollama/ollama/issues/7758
    - https://github.com/ollama/ollama/blob/main/docs/faq.mdx (concurrency)
    """
    alone = timing.alone(case.traces.timings or ())
    if alone is not None and timing.queue(alone) >= max(0.5, alone.total / 2):
        waited = timing.queue(alone)
        parts = f"{alone.model}: total {alone.total:.1f} s, of which {waited:.1f} s neither load, prompt nor tokens"
        summary = f"a request waited {waited:.1f} s behind other requests"
        return _queue(case, summary, (Evidence("POST /api/generate", parts),))
    crowd = _crowd(run(case).served[-RECENT:])
    if len(crowd) < 2 + slots(case) * max(1, len(case.seen.loaded or ())):
        return None
    took = sorted(row.seconds for row in crowd)
    if took[-1] < 3 * max(took[0], 0.5):
        return None
    lines = tuple(Evidence("server log", excerpt(row.line, 160)) for row in (crowd[0], crowd[-1]))
    spread = f"the first took {took[0]:.1f} s, the last {took[-1]:.1f} s"
    summary = f"{len(crowd)} requests at once had to share {counted(slots(case), 'slot')}: {spread}"
    return _queue(case, summary, lines, Confidence.LIKELY)


def _queue(
    case: HostEvidence, summary: str, evidence: tuple[Evidence, ...], confidence: Confidence = Confidence.CERTAIN
) -> Finding:
    open_ = case.traces.connections
    load = f"{counted(open_ or 0, 'connection')}, {counted(slots(case), 'slot')} for each model"
    shown = (Evidence("ss", load),) if open_ else ()
    return Finding(summary, (*evidence, *shown), confidence, values={"parallel": str(max(4, 2 * slots(case)))})


def _crowd(rows: Sequence[Served]) -> list[Served]:
    """The largest set of good answers that were all under way at one moment, in the order in which they ended."""
    good = [row for row in rows if row.status == 200 and row.seconds >= 0.5]
    events = sorted([(row.at - row.seconds, 1) for row in good] + [(row.at, -1) for row in good])
    most, under_way, moment = 0, 0, 0.0
    for at, change in events:
        under_way += change
        if under_way > most:
            most, moment = under_way, at
    crowd = [row for row in good if row.at - row.seconds <= moment < row.at]
    return sorted(crowd, key=lambda row: row.seconds)


def queue_full_503(case: HostEvidence) -> Finding | None:
    """The server refuses requests because too many wait for a model to be loaded.

    More than `OLLAMA_MAX_QUEUE` requests (512 by default) were in the scheduler's queue. This happens while models are
    loaded or switched. Requests for a loaded model wait elsewhere, and get no 503.

    Signals:
    - `503 server busy, please try again.  maximum pending requests exceeded`, without a Retry-After header
    - `[GIN] ... | 503 |` on /api/generate or /api/chat

    Not to be confused with:
    - proxy-502: a 503 in HTML comes from a proxy, not from Ollama.
    - same-model-queueing: long waits, and no 503.

    Sources:
    - https://github.com/ollama/ollama/issues/4124
    - https://github.com/ollama/ollama/pull/4144
    """
    verdict = case.verdict_of("queue-full-503")
    if verdict is not None:
        return Finding(verdict.summary, verdict.evidence, severity=Severity.ERROR)
    full = [row for row in run(case).served[-RECENT:] if row.status == 503]
    if len(full) < 3:
        return None
    return Finding(
        f"{len(full)} of the last {len(run(case).served[-RECENT:])} requests were refused: the queue was full",
        (Evidence("server log", excerpt(full[-1].line, 160)),),
        Confidence.LIKELY,
    )


RULES = (
    Rule(
        same_model_queueing,
        Severity.WARNING,
        steps=(
            Step(
                "If memory allows, answer more at once: set `ollama_num_parallel: {parallel}` in the inventory, then"
                " apply it. Each slot takes the memory of a whole context.",
                "{up}",
            ),
            Step("Otherwise limit concurrent requests in the proxy or the client, or spread them over more hosts."),
        ),
        explains=("client-timeout-too-short",),
        needs=("journal.log",),
        verify="reaper-ops doctor {source} -l {host} --slow",
    ),
    Rule(
        queue_full_503,
        Severity.WARNING,
        steps=(
            Step("Let clients retry a refused request, with a delay that grows."),
            Step("Keep models loaded: set `ollama_keep_alive: 24h` in the inventory, then apply it.", "{up}"),
            Step("Raise `ollama_max_queue` only if clients may wait that long. Otherwise add hosts.", "{up}"),
        ),
        explains=("overloaded",),
        needs=("journal.log",),
        verify="reaper-ops probe {source} -l {host}",
    ),
)
