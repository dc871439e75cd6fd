"""Downloads that start and do not finish."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.rules import store
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.values import human_bytes

STALLS = 3
LAST_ATTEMPT = 5


def pull_stalled(case: HostEvidence) -> Finding | None:
    """A download has stalled.

    A few slow parts of sixteen are left, or the blob host throttles. The server retries a part that gets no byte for
    30 s, without limit and without counting it as an attempt.

    Signals:
    - `e8a35b5937a5 part 23 stalled; retrying`
    - progress that slows to a crawl at 95 to 99 per cent

    Not to be confused with:
    - pull-max-retries: there the server gives up after six attempts.
    - A part that stalls once and goes on is not a fault.

    Sources:
    - https://github.com/ollama/ollama/issues/1736
    - server/download.go of Ollama
    """
    found = [reason for reason in reasons.every(case) if reason.cause == "pull-stalled"]
    if not found or (len(found) < STALLS and not found[-1].now):
        return None
    layer, lying = found[-1].groups.get("layer", ""), store.own(case)
    part = next((b for b in store.partials(lying) if b.name[7:19] == layer), None) if lying else None
    shown = (Evidence("model store", f"{part.name[:19]}-partial, last written {part.age} s ago"),) if part else ()
    times = f" {len(found)} times" if len(found) > 1 else ""
    what = f"the download of {layer or found[-1].model}"
    return reasons.finding(case, found[-1], f"{what} stalled{times} and is not complete", *shown)


def pull_max_retries(case: HostEvidence) -> Finding | None:
    """The server gave up a download after six attempts.

    A slow or unstable network, a VPN or a middlebox closes the connections; the reason follows the colon. HTTP 500 from
    the blob host shows as `EOF`. What was downloaded is kept.

    Signals:
    - `max retries exceeded: unexpected EOF`, a minute after the last progress
    - `caa5710c3f1c part 2 attempt 5 failed: unexpected EOF, retrying in 32s`

    Not to be confused with:
    - pull-dns, pull-connect-blocked: the reason after the colon names them.
    - pull-disk-full, which ends a pull at once.

    Sources:
    - https://github.com/ollama/ollama/issues/3162
    - https://github.com/ollama/ollama/issues/6211
    - recorded: pull-blob-always-truncated, pull-blob-cdn-500
    """
    found = [r for r in reasons.every(case) if r.cause == "pull-max-retries" and _last_attempt(r)]
    if not found:
        return None
    reason = found[-1]
    lying, said = store.own(case), reason.groups.get("why", "")
    left = sum(part.size for part in store.partials(lying)) if lying else 0
    shown = (Evidence("model store", f"unfinished downloads of {human_bytes(left)}"),) if left else ()
    summary = f"the server gave up a download after six attempts{f': {said[:80]}' if said else ''}"
    return reasons.finding(case, reason, summary, *shown)


def _last_attempt(reason: reasons.Reason) -> bool:
    return int(reason.groups.get("attempt", LAST_ATTEMPT)) >= LAST_ATTEMPT


RULES = (
    Rule(
        pull_stalled,
        Severity.ERROR,
        steps=(
            Step(
                "Stop the pull and start it again; it resumes where it stopped.",
                "{ollama} pull {model}",
                Automate.SAFE,
                "pull",
            ),
        ),
        explains=("model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
    Rule(
        pull_max_retries,
        Severity.ERROR,
        steps=(
            Step("Pull again; the download resumes where it stopped.", "{ollama} pull {model}", Automate.SAFE, "pull"),
            Step("If it fails again, pull over another network or without the VPN."),
        ),
        explains=("model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
)
