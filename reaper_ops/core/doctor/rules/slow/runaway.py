"""One answer that does not end."""

from __future__ import annotations

from datetime import datetime

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow.loading import keep_alive, run
from reaper_ops.core.health.probe import RunningModel
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.values import counted

LONG = 120.0


def runaway_generation(case: HostEvidence) -> Finding | None:
    """A model has been generating one answer for minutes, and does not stop.

    The model repeats itself, and nothing ends it: no `num_predict`, no stop token, a client without a timeout. All
    requests behind it wait.

    Signals:
    - all answers hang, the GPU or CPU is at 100 %
    - `ollama ps` shows `Stopping...`
    - `expires_at` in /api/ps is past, and the model is still listed

    Not to be confused with:
    - same-model-queueing: answers do end, one after the other.
    - server-hung: /api/version does not answer either.

    Sources:
    - https://github.com/ollama/ollama/issues/7606
    - https://github.com/ollama/ollama/issues/1863
    """
    now = case.traces.now
    if now is None:
        return None
    for row in case.seen.loaded or ():
        since = _busy_since(case, row)
        if since is None or now - since < LONG + (keep_alive(case) or 300.0):
            continue
        if any(done.at - run(case).zone > since + 2 for done in run(case).served):
            continue
        minutes = (now - since) / 60
        open_ = case.traces.connections
        shown = (Evidence("ss", f"{counted(open_, 'connection')} to the server"),) if open_ else ()
        return Finding(
            f"{row.name} has been busy for {minutes:.0f} minutes without finishing an answer",
            (
                Evidence("GET /api/ps", f"{row.name}: still loaded, although expires_at {row.expires_at} is past"),
                *shown,
            ),
            Confidence.LIKELY if case.log.seen else Confidence.POSSIBLE,
            values={"model": row.name},
        )
    return None


def _busy_since(case: HostEvidence, row: RunningModel) -> float | None:
    """When the model was last idle: each end of an answer sets a new expiry."""
    try:
        expires = datetime.fromisoformat(row.expires_at).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return expires - (keep_alive(case) or 300.0)


RULES = (
    Rule(
        runaway_generation,
        Severity.ERROR,
        steps=(
            Step(
                "Find the client that waits for the answer, and end it.",
                "sudo ss -tnp state established '( sport = :{port} )'",
            ),
            Step("Unload the model. This cuts off its answer.", "{ollama} stop {model}", Automate.ASK, "unload"),
            Step("If the model stays loaded, restart the server.", "{restart}", Automate.ASK, "restart"),
            Step("Set `num_predict`, stop tokens and a timeout in the client."),
        ),
        explains=("same-model-queueing", "client-timeout-too-short"),
        needs=("http", "journal.log"),
        verify="reaper-ops probe {source} -l {host} --deep",
    ),
)
