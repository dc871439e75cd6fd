"""A process died: while a model was made, or for a reason that is not memory."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import kill_remedies as remedies
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom
from reaper_ops.core.doctor.rules.out_of_memory.oom_kill import OOMD, oom_kill
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.health.report import Evidence, State

ID = "runner-crash-other"
BY_RUNNER = frozenset({None, 200, 400, 500})
KNOWN = ("model-incompatible", "weights-broken")
ON_PURPOSE = ("signal: terminated", "signal: killed", "context canceled")


def create_quantize_oom(case: HostEvidence) -> Finding | None:
    """Memory ran out while `ollama create` converted or quantized a model.

    Ollama converts tensors in parallel, each in memory. The kernel kills the server itself or its quantizing program.

    Signals:
    - the output of `ollama create` ends at `converting model` or `quantizing`
    - the kernel's line names `ollama` or `llama-quantize`, not a runner

    Not to be confused with:
    - kernel-oom-kill: the victim is a runner, and no model was being created.

    Sources:
    - https://github.com/ollama/ollama/issues/12026
    - server/quantization.go of Ollama
    """
    kill = oom_kill(case)
    if kill is None or kill.cause == OOMD or kill.victim is None:
        return None
    name, quantizing = kill.victim.groups["comm"], _quantizing(case)
    tool = name.startswith("llama-quantize")
    if not tool and (quantizing is None or not name.startswith("ollama")):
        return None
    start = (Evidence("server log", excerpt(quantizing.line)),) if quantizing else ()
    summary = f"the kernel killed {headroom.victim(kill.victim)}, while quantizing a model{headroom.host(case)}"
    confidence = Confidence.CERTAIN if tool else Confidence.LIKELY
    steps = remedies.started(case, (_ELSEWHERE, _FEWER_TENSORS, *remedies.more_swap(case)))
    return Finding(summary, (*start, *kill.evidence), confidence, steps=steps)


def _quantizing(case: HostEvidence) -> Hit | None:
    """A quantization that began, with no load after it."""
    found = None
    for hit in case.log_hits:
        if hit.signature.id == "quantizing":
            found = hit
        elif hit.signature.id in {"load-starts", "load-succeeded"}:
            found = None
    return found


def runner_crash_other(case: HostEvidence) -> Finding | None:
    """The runner ended for a reason that is neither memory nor a known fault.

    A Go panic (`exit status 2`), a missing library (`exit status 127`), a segmentation fault, a failed assertion, or
    a kill by hand. The log lines before its end show more.

    Signals:
    - `llama-server process has terminated: exit status 2`, `signal: segmentation fault`, `signal: aborted`
    - `model runner has unexpectedly stopped`
    - `/api/ps` lists a model, and the server has no runner process

    Not to be confused with:
    - kernel-oom-kill: the kernel log has a line. An `exit status 2` can also follow a failed allocation, which is then
      further up in the server's log.
    - cpu-illegal-instruction, gpu-library-missing, model-incompatible: the log names the reason.
    - a stop or an orderly unload, which ends a runner with `signal: terminated` or `killed`.

    Sources:
    - https://github.com/ollama/ollama/issues/8770
    - https://github.com/ollama/ollama/issues/9330
    - https://github.com/ollama/ollama/issues/6541
    """
    verdict = case.verdict_of(ID)
    if oom_kill(case) is not None or any(v.state is State.OUT_OF_MEMORY for v in case.verdicts):
        return None
    if verdict is not None:
        if any(e.path == "/api/generate" and e.status not in BY_RUNNER for e in case.seen.exchanges):
            return None
        killed = any("killed" in shown.text for shown in verdict.evidence[:1])
        summary, confidence = verdict.summary.rstrip(": "), Confidence.POSSIBLE if killed else Confidence.LIKELY
        return Finding(summary, verdict.evidence, confidence, steps=_AFTER_A_KILL if killed else None)
    last = _last_crash(case)
    if last is None:
        return _vanished(case)
    summary = f"the last load of a model failed: {excerpt(_reason(last.line), 120)}"
    return Finding(summary, (Evidence("server log", excerpt(last.line)),), Confidence.LIKELY, severity=Severity.WARNING)


def _vanished(case: HostEvidence) -> Finding | None:
    """A runner that ended between requests: the server notices, and logs it, with the next one."""
    server = case.facts.process if case.facts else None
    rows, loaded = case.traces.processes or (), [m for m in case.seen.loaded or () if m.size]
    if not loaded or server is None or not any(row.pid == server.pid for row in rows):
        return None
    if any(row.parent == server.pid for row in rows):
        return None
    shown = (
        Evidence("GET /api/ps", f"{loaded[0].name} is loaded"),
        Evidence("processes", f"the server (pid {server.pid}) has no runner process"),
    )
    summary = f"{loaded[0].name} counts as loaded, and its runner is gone; the next request has to load it again"
    return Finding(summary, shown, Confidence.LIKELY, steps=_AFTER_A_KILL, severity=Severity.WARNING)


def _last_crash(case: HostEvidence) -> Hit | None:
    """Of the present run, unless a later load succeeded; what is done on purpose is none."""
    found = None
    for hit in case.log_hits:
        name = hit.signature.id
        if name in {"listening", "load-succeeded"}:
            found = None
        elif name == "runner-terminated" and not any(word in hit.line for word in ON_PURPOSE):
            found = None if any(signatures.only(other, hit.line) for other in KNOWN) else hit
    return found


def _reason(line: str) -> str:
    return line.partition("process has terminated: ")[2].rstrip('"') or line


_ELSEWHERE = Step("Create the model on a machine with more memory, and push or copy it to this host.")
_FEWER_TENSORS = Step(
    "Or convert fewer tensors at once: set `ollama_env: {GOMAXPROCS: 1}` until the model is created; then", "{up}"
)
_RESTART = Step("If it happens again, restart the server.", "{restart}", Automate.ASK, "restart")

_AFTER_A_KILL = (
    Step(
        "Look for the kernel's own line: `Out of memory: Killed process` proves that memory was the reason.",
        "sudo dmesg -T | grep -i -e 'out of memory' -e oom-kill | tail -n 10",
    ),
    Step("If it was, use a smaller model or context, or add swap; on boards with shared memory the GPU's part counts."),
    Step("If the kernel has no such line, find who ended the runner: a person, a script, or a watchdog.", "{log}"),
    _RESTART,
)

RULES = (
    Rule(
        create_quantize_oom,
        Severity.ERROR,
        steps=(_ELSEWHERE, _FEWER_TENSORS, remedies.SWAP),
        explains=(
            "kernel-oom-kill",
            "container-memory-limit-oom",
            "systemd-memorymax-oom",
            "oompolicy-stops-service",
            "out-of-memory",
        ),
        needs=("kernel.log", "journal.log"),
    ),
    Rule(
        runner_crash_other,
        Severity.ERROR,
        steps=(
            Step("Read what the runner logged before it ended.", "{log}"),
            Step(
                "Run the same model on the CPU (`num_gpu: 0`), then another small model. If only this model fails, "
                "suspect its file; if all fail, the build or the driver."
            ),
            _RESTART,
            Step(
                "If only this model fails, check and repair its file.",
                "reaper-ops models verify --repair {source} -l {host}",
            ),
            Step("If all models fail, set another `ollama_version`; then", "{up}"),
        ),
        explains=("degraded",),
        needs=("journal.log",),
    ),
)
