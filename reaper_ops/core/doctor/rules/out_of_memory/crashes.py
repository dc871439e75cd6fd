"""A process died: while a model was made, or for a reason that is not memory."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as room
from reaper_ops.core.doctor.rules.out_of_memory.oom_kill import OOMD, death
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.health.report import Evidence, State

ID = "runner-crash-other"
BY_RUNNER = frozenset({None, 200, 400, 500})
KNOWN = ("model-incompatible", "weights-broken")
ON_PURPOSE = ("signal: terminated", "signal: killed", "context canceled")


def create_quantize_oom(case: HostEvidence) -> Finding | None:
    """Memory ran out while `ollama create` converted or quantized a model.

    Tensors are converted in parallel, each in memory; the victim is the server itself, or its quantizing program.

    Signals:
    - the stream of `ollama create` is cut at `converting model` or `quantizing`
    - the kernel's line names `ollama` or `llama-quantize`, not a runner

    Not to be confused with:
    - kernel-oom-kill: the victim is a runner, and no model was being made.

    Sources:
    - https://github.com/ollama/ollama/issues/12026
    - server/quantization.go of Ollama
    """
    dead = death(case)
    if dead is None or dead.cause == OOMD or dead.victim is None:
        return None
    name, making = dead.victim.groups["comm"], _making(case)
    tool = name.startswith("llama-quantize")
    if not tool and (making is None or not name.startswith("ollama")):
        return None
    shown = (Evidence("server log", excerpt(making.line)), *dead.evidence) if making else dead.evidence
    summary = f"the kernel killed {room.victim(dead.victim)} while a model was being quantized{room.host(case)}"
    confidence = Confidence.CERTAIN if tool else Confidence.LIKELY
    return Finding(summary, shown, confidence, steps=room.started(case, _QUANTIZE))


def _making(case: HostEvidence) -> Hit | None:
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
    a kill by hand. The lines before its end in the log say more.

    Signals:
    - `llama-server process has terminated: exit status 2`, `signal: segmentation fault`, `signal: aborted`
    - `model runner has unexpectedly stopped`

    Not to be confused with:
    - kernel-oom-kill: the kernel's line; an `exit status 2` may follow a failed allocation, one screen up in the log.
    - cpu-illegal-instruction, gpu-library-missing, model-incompatible: they say so.
    - a stop or an orderly unload ends a runner with `signal: terminated` or `killed`.

    Sources:
    - https://github.com/ollama/ollama/issues/8770
    - https://github.com/ollama/ollama/issues/9330
    - https://github.com/ollama/ollama/issues/6541
    """
    verdict = case.blamed(ID)
    if death(case) is not None or any(v.state is State.OUT_OF_MEMORY for v in case.verdicts):
        return None
    if verdict is not None:
        if any(e.path == "/api/generate" and e.status not in BY_RUNNER for e in case.seen.exchanges):
            return None
        killed = any("killed" in shown.text for shown in verdict.evidence[:1])
        return Finding(verdict.summary, verdict.evidence, Confidence.POSSIBLE if killed else Confidence.LIKELY)
    last = _last_crash(case)
    if last is None:
        return None
    summary = f"the last load of a model ended: {excerpt(_said(last.line), 120)}"
    return Finding(summary, (Evidence("server log", excerpt(last.line)),), Confidence.LIKELY, severity=Severity.WARNING)


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


def _said(line: str) -> str:
    return line.partition("process has terminated: ")[2].rstrip('"') or line


_QUANTIZE = (
    Step("Make the model on a machine with more memory, and push or copy it here."),
    Step("Or let fewer tensors be converted at once: `ollama_env: {GOMAXPROCS: 1}` for that time; then", "{up}"),
    Step("Or give the host swap: `swap_kind: file`; then", "{up}"),
)

RULES = (
    Rule(
        create_quantize_oom,
        Severity.ERROR,
        steps=_QUANTIZE,
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
            Step("Read what the runner said before its end.", "{log}"),
            Step("Try the same model on the CPU (`num_gpu: 0`), then another small one: that splits model from build."),
            Step("Restart the server, if it stays so.", "{restart}", Automate.ASK, "restart"),
            Step("Pull the model again, or set another `ollama_version`; then", "{up}"),
        ),
        explains=("degraded",),
        needs=("journal.log",),
    ),
)
