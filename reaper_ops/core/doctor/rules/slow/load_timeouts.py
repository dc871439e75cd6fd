"""Loads that end early: the server gives up after five minutes without progress, or the client leaves."""

from __future__ import annotations

from collections.abc import Sequence

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow.history import Served
from reaper_ops.core.doctor.rules.slow.loading import run
from reaper_ops.core.facts.traces import Mount
from reaper_ops.core.health.probe import error_text
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.values import counted

REMOTE = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster")
SHORTEST = 5.0


def load_timeout(case: HostEvidence) -> Finding | None:
    """The load of a model made no progress, and the server gave up.

    A load ends after five minutes without progress (`OLLAMA_LOAD_TIMEOUT`). The usual reason is a slow store: a network
    file system, a hard disk or a cloud volume.

    Signals:
    - `500 timed out waiting for llama runner to start - progress 0.00 -`, after about 300 s
    - from Ollama 0.30 on `timed out waiting for llama-server to start`
    - `gpu VRAM usage didn't recover within timeout` is only a consequence

    Not to be confused with:
    - client-timeout-too-short: the text ends in `context canceled`, and the client had left.

    Sources:
    - https://github.com/ollama/ollama/issues/8470
    - https://github.com/ollama/ollama/issues/9209
    - https://github.com/ollama/ollama/issues/10969
    """
    answers = [e for e in case.seen.exchanges if _is_late(error_text(e))]
    found = run(case)
    if not answers and found.left and len(found.late) <= len(found.left):
        return None
    logged = bool(found.late) and not (found.loads and found.loads[-1].ended == "done")
    if not answers and not logged:
        return None
    shown = exchange_evidence(answers[-1]) if answers else Evidence("server log", excerpt(found.late[-1], 200))
    where = _store(case)
    remote = where if where is not None and where.fstype.startswith(REMOTE) else None
    slow = f"; its store is on {remote.fstype}" if remote else ""
    return Finding(
        f"the server gave up loading a model, because the load made no progress{slow}",
        (shown, *((Evidence("findmnt", f"{remote.target} {remote.fstype} {remote.source}"),) if remote else ())),
        steps=_IN_CONTAINER if case.settings.ollama_runtime == "docker" else None,
    )


def _is_late(text: str) -> bool:
    return bool(text) and signatures.only("load-timeout", text) is not None


def _store(case: HostEvidence) -> Mount | None:
    """The mount of the host that holds the models: the longest target that is a parent."""
    path = (_on_host(case) or case.models_dir).rstrip("/") + "/"
    over = [m for m in case.traces.mounts or () if path.startswith(m.target.rstrip("/") + "/")]
    return max(over, key=lambda mount: len(mount.target), default=None)


def _on_host(case: HostEvidence) -> str:
    """The bind mount behind the container's model directory; empty without one."""
    mounts = [mount for box in case.traces.containers or () if box.name == "ollama" for mount in box.mounts]
    inside = [m for m in mounts if f"{case.models_dir}/".startswith(f"{m.target}/") and m.source.startswith("/")]
    outer = max(inside, key=lambda mount: len(mount.target), default=None)
    return outer.source + case.models_dir.removeprefix(outer.target) if outer else ""


def client_timeout_too_short(case: HostEvidence) -> Finding | None:
    """Clients give up before the answer is complete, so a load never ends.

    When a client disconnects while a model loads, the server aborts the load. The next attempt starts again, and the
    client leaves as early. Proxies with a short read timeout do the same.

    Signals:
    - "timeout" in the client; the model never appears in /api/ps
    - `client connection closed before llama-server finished loading, aborting load`
    - `[GIN] ... | 499 |` with the same duration each time

    Not to be confused with:
    - load-timeout: the server gave up, after minutes.
    - a person who stops an answer: the durations of the 499 lines differ.

    Sources:
    - https://github.com/ollama/ollama/issues/7408
    - https://github.com/ollama/ollama/issues/9322
    """
    found = run(case)
    gone = [row for row in found.served if row.status == 499]
    timer = _timer(gone)
    alone = bool(found.left) and case.seen.models is None and not (found.loads and found.loads[-1].ended == "done")
    if len(found.left) < 2 and len(timer) < 3 and not alone:
        return None
    waited = sorted(row.seconds for row in timer or gone)
    after = f" after {waited[len(waited) // 2]:.3g} s" if waited else ""
    what = f"{len(timer)} requests were aborted"
    if found.left and (len(found.left) > 1 or alone):
        what = f"{counted(len(found.left), 'load')} {'were' if len(found.left) > 1 else 'was'} aborted"
    lines = [*found.left[-1:], *(row.line for row in (timer or gone)[-2:])]
    return Finding(
        f"{what} because the client disconnected{after}",
        tuple(Evidence("server log", excerpt(line, 200)) for line in lines),
        Confidence.CERTAIN if found.left and timer else Confidence.LIKELY,
        severity=Severity.ERROR if alone else None,
        values={"clients": ", ".join(sorted({row.client for row in gone})[:6]) or "the clients"},
    )


def _timer(gone: Sequence[Served]) -> list[Served]:
    """Those that left after the same time, as a timeout does and a person does not."""
    best: list[Served] = []
    for row in gone:
        alike = [other for other in gone if abs(other.seconds - row.seconds) <= 0.02 * row.seconds]
        if row.seconds >= SHORTEST and len(alike) > max(1, len(best)):
            best = alike
    return best


_MORE_TIME = Step("Allow more time: set `ollama_load_timeout: 30m` in the inventory, then apply it.", "{up}")
_LOCAL = Step("Put the models on a local SSD: set `ollama_models_dir` in the inventory, then apply it.", "{up}")
_IN_CONTAINER = (
    _MORE_TIME,
    Step(
        "Measure how fast the store is.",
        "docker exec ollama find {models_dir}/blobs -name 'sha256-*' -size +1G "
        "-exec dd if={} of=/dev/null bs=16M count=64 iflag=direct ';' -quit",
    ),
    _LOCAL,
)

RULES = (
    Rule(
        load_timeout,
        Severity.ERROR,
        steps=(
            _MORE_TIME,
            Step(
                "Measure how fast the store is.",
                "sudo find {models_dir}/blobs -name 'sha256-*' -size +1G "
                "-exec dd if={} of=/dev/null bs=16M count=64 iflag=direct ';' -quit",
            ),
            _LOCAL,
        ),
        explains=("degraded",),
        needs=("journal.log", "mounts.txt"),
        verify="reaper-ops doctor {source} -l {host} --slow --load",
    ),
    Rule(
        client_timeout_too_short,
        Severity.WARNING,
        steps=(
            Step("Raise the timeout of {clients}, and of the proxies in between, above the time of a load."),
            Step("Keep models loaded: set `ollama_keep_alive: 24h` in the inventory, then apply it.", "{up}"),
        ),
        needs=("journal.log",),
        verify="{recent_log} | grep -c -e 'connection closed before' -e '| 499 |'",
    ),
)
