"""Loads that somebody gives up: the server after five minutes without progress, the client before it is done."""

from __future__ import annotations

from collections.abc import Sequence

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, heard
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow.history import Served
from reaper_ops.core.doctor.rules.slow.loading import run
from reaper_ops.core.facts.traces import Mount
from reaper_ops.core.health.probe import error_text
from reaper_ops.core.health.report import Evidence

REMOTE = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster")
SHORTEST = 5.0


def load_timeout(case: HostEvidence) -> Finding | None:
    """The load of a model stood still for too long, and the server gave it up.

    Without progress for five minutes (`OLLAMA_LOAD_TIMEOUT`) a load ends. The usual reason is a slow store: network
    file systems, hard disks, cloud volumes.

    Signals:
    - `500 timed out waiting for llama runner to start - progress 0.00 -`, after about 300 s
    - from Ollama 0.30 on `timed out waiting for llama-server to start`
    - `gpu VRAM usage didn't recover within timeout` is only what follows

    Not to be confused with:
    - client-timeout-too-short: the text then ends in `context canceled`, and the client had left.

    Sources:
    - https://github.com/ollama/ollama/issues/8470
    - https://github.com/ollama/ollama/issues/9209
    - https://github.com/ollama/ollama/issues/10969
    """
    answers = [e for e in case.seen.exchanges if _is_late(error_text(e))]
    found = run(case)
    logged = bool(found.late) and not (found.loads and found.loads[-1].ended == "done")
    if not answers and not logged:
        return None
    shown = heard(answers[-1]) if answers else Evidence("server log", excerpt(found.late[-1], 200))
    where = _store(case)
    slow = f" from {where.fstype}" if where is not None and where.fstype.startswith(REMOTE) else ""
    return Finding(
        f"a model did not get loaded in time{slow}",
        (shown, *((Evidence("findmnt", f"{where.target} {where.fstype} {where.source}"),) if where else ())),
    )


def _is_late(text: str) -> bool:
    return bool(text) and signatures.only("load-timeout", text) is not None


def _store(case: HostEvidence) -> Mount | None:
    """The mount that holds the models: the longest target that is a parent."""
    path = case.models_dir.rstrip("/") + "/"
    over = [m for m in case.traces.mounts or () if path.startswith(m.target.rstrip("/") + "/")]
    return max(over, key=lambda mount: len(mount.target), default=None)


def client_timeout_too_short(case: HostEvidence) -> Finding | None:
    """Clients give up before the answer is there, and so a load never ends.

    A client that leaves while a model is loaded takes the load with it. The next try begins anew, and leaves as early.
    Proxies with a short read time-out do the same.

    Signals:
    - "timeout" in the client; the model never appears in /api/ps
    - `client connection closed before llama-server finished loading, aborting load`
    - `[GIN] ... | 499 |` with the same duration each time

    Not to be confused with:
    - load-timeout: there the server gave up, after minutes.
    - a person who stops an answer: then durations of the 499 differ, and it happens once.

    Sources:
    - https://github.com/ollama/ollama/issues/7408
    - https://github.com/ollama/ollama/issues/9322
    """
    found = run(case)
    gone = [row for row in found.served if row.status == 499]
    timer = _timer(gone)
    if len(found.left) < 2 and len(timer) < 3:
        return None
    waited = sorted(row.seconds for row in timer or gone)
    after = f" after {waited[len(waited) // 2]:.3g} s" if waited else ""
    what = f"{len(found.left)} loads were given up" if len(found.left) > 1 else f"{len(timer)} requests were given up"
    lines = [*found.left[-1:], *(row.line for row in (timer or gone)[-2:])]
    return Finding(
        f"{what} because the client left{after}",
        tuple(Evidence("server log", excerpt(line, 200)) for line in lines),
        Confidence.CERTAIN if found.left and timer else Confidence.LIKELY,
        values={"clients": ", ".join(sorted({row.client for row in gone})[:6]) or "the clients"},
    )


def _timer(gone: Sequence[Served]) -> list[Served]:
    """Those that left after the same time, as a clock does and a person does not."""
    best: list[Served] = []
    for row in gone:
        alike = [other for other in gone if abs(other.seconds - row.seconds) <= 0.02 * row.seconds]
        if row.seconds >= SHORTEST and len(alike) > max(1, len(best)):
            best = alike
    return best


RULES = (
    Rule(
        load_timeout,
        Severity.ERROR,
        steps=(
            Step("Give it more time: `ollama_load_timeout: 30m` in the inventory, then apply it.", "{up}"),
            Step(
                "Look how fast the store is.",
                "sudo find {models_dir}/blobs -name 'sha256-*' -size +1G "
                "-exec dd if={} of=/dev/null bs=16M count=64 iflag=direct ';' -quit",
            ),
            Step("Put the models on a local SSD: set `ollama_models_dir`, then apply it.", "{up}"),
        ),
        explains=("degraded",),
        needs=("journal.log", "mounts.txt"),
        verify="reaper-ops doctor {source} -l {host} --slow --load",
    ),
    Rule(
        client_timeout_too_short,
        Severity.WARNING,
        steps=(
            Step("Raise the time-out of {clients}, and of proxies in between, above the time of a load."),
            Step("Keep models loaded: `ollama_keep_alive: 24h` in the inventory, then apply it.", "{up}"),
        ),
        needs=("journal.log",),
        verify="{recent_log} | grep -c -e 'connection closed before' -e '| 499 |'",
    ),
)
