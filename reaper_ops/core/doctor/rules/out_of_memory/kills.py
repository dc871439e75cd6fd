"""Killed for lack of memory: by the kernel, at a limit, by systemd."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as room
from reaper_ops.core.doctor.rules.out_of_memory.oom_kill import CONTAINER, KERNEL, OOMD, UNIT, OomKill, death
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.health.report import Evidence, State

NEARLY = 0.95
WAITING = 10.0
RUNNERS = ("llama-server", "llama-box", "ollama_llama")
DOWN = (
    "connection-refused",
    "http-error",
    "degraded",
    "service-not-running",
    "service-crash-looping",
    "proxy-502",
)


def _who(dead: OomKill) -> str:
    return room.victim(dead.victim) if dead.victim else "a process of Ollama"


def kernel_oom_kill(case: HostEvidence) -> Finding | None:
    """The kernel killed a process of Ollama, because the host ran out of memory.

    Model, context and everything else together need more than main memory and swap hold. From 0.30 nothing in Ollama
    refuses such a load. The kernel takes the largest process: mostly the runner, at times a bystander.

    Signals:
    - `llama-server process has terminated: signal: killed`; up to 0.24 `llama runner process has terminated: ...`
    - `an error was encountered while running the model: unexpected EOF` in an answer with status 200
    - connection refused for some seconds, then no model is loaded

    Not to be confused with:
    - container-memory-limit-oom, systemd-memorymax-oom: the kernel says `Memory cgroup out of memory` and names the
      group whose limit was met; here it says `Out of memory`.
    - systemd-oomd-kill: the journal names systemd-oomd, the kernel is silent.
    - ram-preflight-refused: the server refused politely, nothing was killed.
    - an orderly unload may log `llama-server terminated ... signal: killed`; the kernel's line is missing then.

    Sources:
    - https://github.com/ollama/ollama/issues/10739
    - https://github.com/ollama/ollama/issues/9934
    - https://github.com/ollama/ollama/issues/9678
    """
    dead = death(case)
    if dead is not None and dead.cause == KERNEL:
        summary = f"the kernel killed {_who(dead)}: out of memory{room.host(case)}"
        return Finding(summary, dead.evidence, dead.confidence, steps=room.started(case, _KERNEL))
    return _bystander(case) if dead is None else None


def _bystander(case: HostEvidence) -> Finding | None:
    """A load of ours asked, and the kernel killed somebody else."""
    invoked = False
    if case.state not in {State.OUT_OF_MEMORY, State.DEGRADED}:
        return None
    for hit in case.kernel_hits:
        if hit.signature.id == "oom-invoked":
            invoked = _ours(hit)
        elif hit.signature.id == "oom-kill" and invoked and not _ours(hit) and hit.groups["memcg"] == "O":
            summary = f"Ollama asked for memory, and the kernel killed {room.victim(hit)}"
            shown = (Evidence("kernel log", excerpt(hit.line)),)
            return Finding(summary + room.host(case), shown, Confidence.LIKELY, severity=Severity.WARNING)
    return None


def _ours(hit: Hit) -> bool:
    return hit.groups["comm"].startswith(("ollama", *RUNNERS))


def container_memory_limit_oom(case: HostEvidence) -> Finding | None:
    """The memory limit of the container was met, and the kernel killed inside it.

    Often only the runner dies: the container runs on, answers, and may carry `OOMKilled: true` until its next start;
    with control groups of version 1 the flag stays false all the same.

    Signals:
    - exit code 137 and a restart; or HTTP 500 `signal: killed` while the container stays up
    - the host itself has plenty of free memory

    Not to be confused with:
    - kernel-oom-kill: the kernel says `Out of memory` without `Memory cgroup`; then the host ran out, not the limit.
    - exit code 137 with neither flag nor kernel line: `docker stop`, or somebody else's kill.

    Sources:
    - moby daemon/monitor.go, the event oom
    - https://github.com/moby/moby/issues/21083
    - https://github.com/morphik-org/morphik-core/issues/120
    """
    dead = death(case)
    if dead is None or dead.cause != CONTAINER:
        return None
    lid = room.limit(case)
    limit = f" of {room.gib(lid.size)}" if lid else ""
    boxed = case.settings.ollama_runtime == "docker" or bool(case.facts and case.facts.system.container)
    whose = "the container's" if boxed else "a control group's"
    summary = f"{whose} memory limit{limit} was met, and the kernel killed {_who(dead)}"
    steps = _CONTAINER if case.settings.ollama_memory_max else _OTHER_CONTAINER
    return Finding(summary, dead.evidence, dead.confidence, steps=room.started(case, steps))


def systemd_memorymax_oom(case: HostEvidence) -> Finding | None:
    """The unit's own memory limit was met, and the kernel killed inside it.

    Ollama reads limits at the root of its control groups only, so it cannot see `MemoryMax` of a unit or slice and
    plans with the whole host.

    Signals:
    - a load is killed although `free -h` shows plenty; with `MemoryHigh` it crawls instead
    - `Memory cgroup out of memory: Killed process ... (llama-server)` with `oom_memcg=/system.slice/ollama.service`

    Not to be confused with:
    - kernel-oom-kill: no `Memory cgroup` in the kernel's line.
    - container-memory-limit-oom: `oom_memcg` names docker, containerd, libpod or kubepods.

    Sources:
    - discover/cpu_linux.go of Ollama
    - https://github.com/ollama/ollama/issues/7686
    """
    dead = death(case)
    if dead is None:
        return _throttled(case)
    if dead.cause != UNIT:
        return None
    lid = room.limit(case)
    limit = f" ({lid.where}, {room.gib(lid.size)})" if lid else ""
    summary = f"the service's memory limit{limit} was met, and the kernel killed {_who(dead)}"
    return Finding(summary, dead.evidence, dead.confidence, steps=room.started(case, _unit(case)))


def _unit(case: HostEvidence) -> tuple[Step, ...]:
    """Where the inventory sets no limit, somebody else does."""
    return _UNIT if case.settings.ollama_memory_max else _UNIT[1:]


def _throttled(case: HostEvidence) -> Finding | None:
    """`MemoryHigh` kills nobody: it makes the unit wait for its own pages."""
    cgroup, pressure = case.traces.cgroup, case.traces.pressure
    if cgroup is None or not cgroup.high or not cgroup.high_events or case.settings.ollama_runtime != "systemd":
        return None
    if (cgroup.current or 0) < NEARLY * cgroup.high or pressure is None or pressure.full < WAITING:
        return None
    shown = (
        Evidence("cgroup memory.high", f"{room.gib(cgroup.high)}, in use {room.gib(cgroup.current or 0)}"),
        Evidence("cgroup memory.events", f"high {cgroup.high_events}"),
        Evidence("/proc/pressure/memory", f"full avg10={pressure.full:.1f}"),
    )
    summary = f"the service is held at its MemoryHigh of {room.gib(cgroup.high)}, and waits for its own memory"
    return Finding(summary, shown, Confidence.LIKELY, severity=Severity.WARNING, steps=_unit(case))


def oompolicy_stops_service(case: HostEvidence) -> Finding | None:
    """One runner was killed for memory, and systemd stopped the whole service for it.

    With `OOMPolicy=stop`, systemd's default, a kill of any process of the unit ends all of it: every client gets
    connection refused, every loaded model is lost, and the server comes back cold.

    Signals:
    - HTTP 500 or a cut answer, then 3 to 10 seconds of connection refused, then an empty `/api/ps`
    - `A process of this unit has been killed by the OOM killer`, then `Failed with result 'oom-kill'`

    Not to be confused with:
    - kernel-oom-kill alone: with `OOMPolicy=continue` only the runner dies; and when the victim is the server itself,
      no policy could have kept it.
    - service-not-running: Result is success.
    - with control groups of version 1 systemd sees no such event, and the unit stays active.

    Sources:
    - systemd.service(5), OOMPolicy=
    - https://github.com/ollama/ollama/issues/9322
    - https://github.com/ollama/ollama/issues/11231
    """
    dead = death(case)
    if dead is None or dead.cause == OOMD or case.settings.ollama_runtime != "systemd":
        return None
    policy = case.unit.get("OOMPolicy", "")
    shown = _stopped(case)
    if policy == "continue" or not shown or _server_itself(case, dead):
        return None
    certain = policy in {"stop", "kill"} and dead.victim is not None
    shown = (*shown, Evidence("systemctl show", f"OOMPolicy={policy}")) if policy else shown
    summary = "systemd stopped the whole service because one process of it was killed for memory"
    return Finding(summary, shown, Confidence.CERTAIN if certain else Confidence.LIKELY)


def _stopped(case: HostEvidence) -> tuple[Evidence, ...]:
    if case.unit.get("Result") == "oom-kill":
        return (Evidence("systemctl show", f"Result=oom-kill ActiveState={case.unit.get('ActiveState', '?')}"),)
    before = case.log.killed_after or case.log.previous
    if before is not None and before.signature.id in {"unit-result-oom", "unit-oom"}:
        return (Evidence("journal", excerpt(before.line)),)
    return ()


def _server_itself(case: HostEvidence, dead: OomKill) -> bool:
    """The pid that wrote the server's log was the victim; the name alone does not say, runners were named so too."""
    if dead.victim is None or dead.victim.groups["comm"].startswith(RUNNERS):
        return False
    return f" ollama[{dead.victim.groups['pid']}]:" in (case.facts.journal or "" if case.facts else "")


def systemd_oomd_kill(case: HostEvidence) -> Finding | None:
    """systemd-oomd killed Ollama, to relieve the host's memory pressure.

    It acts on pressure over 50 % for 20 seconds or swap over 90 %, before the kernel would, and takes a whole control
    group: the unit, the container, or the login scope of `ollama serve` with its terminal.

    Signals:
    - the server vanishes, and the kernel log has no line about it
    - `ollama.service: systemd-oomd killed 21 process(es) in this unit.`

    Not to be confused with:
    - kernel-oom-kill: the kernel's `Out of memory: Killed process`.
    - oompolicy-stops-service: there the kernel killed one process, and systemd the rest.

    Sources:
    - https://github.com/systemd/systemd/issues/23606
    - https://github.com/systemd/systemd/issues/35270
    - https://github.com/omacom/omarchy/issues/9799
    """
    dead = death(case)
    if dead is None:
        return _login_scope(case)
    if dead.cause != OOMD:
        return None
    at = room.when(dead.evidence[0].text)
    summary = f"systemd-oomd killed Ollama{at}, to relieve memory pressure{room.host(case)}"
    return Finding(summary, dead.evidence, steps=room.started(case, _OOMD))


def _login_scope(case: HostEvidence) -> Finding | None:
    """A server started in a login session dies with its scope, which does not bear its name."""
    facts = case.facts
    gone = case.state in {State.CONNECTION_REFUSED, State.OUT_OF_MEMORY} and not case.log.stopped
    if facts is None or facts.process is not None or case.settings.ollama_runtime != "process" or not gone:
        return None
    user = facts.system.uid
    for hit in signatures.hits("log", case.traces.oomd):
        group = hit.groups.get("cgroup", "")
        if f"/user-{user}.slice/" in group:
            return Finding(
                "systemd-oomd killed a login scope of this user, and Ollama may have run in it",
                (Evidence("journal of systemd-oomd", excerpt(hit.line)),),
                Confidence.POSSIBLE,
                steps=_OOMD[:2],
            )
    return None


_SMALLER = Step("Or choose a smaller model, or a smaller quantization, under `ollama_models`; then", "{up}")
_LESS = Step(
    "Let less be in memory at once: `ollama_max_loaded_models: 1` and a smaller `ollama_context_length` in the "
    "inventory; then",
    "{up}",
)
_KERNEL = (
    _LESS,
    Step("Or give the host swap as a safety net: `swap_kind: file`, `swap_size: 16G`; then", "{up}"),
    _SMALLER,
)
_CONTAINER = (Step("Raise the limit: `ollama_memory_max` in the inventory; then", "{up}"), _LESS, _SMALLER)
_OTHER_CONTAINER = (
    Step("Raise the memory limit where the container is started: `docker run --memory`, or `mem_limit` of Compose."),
    _LESS,
    _SMALLER,
)
_UNIT = (
    Step("Raise `ollama_memory_max` to the model's size, its context and 1 GiB, or remove it; then", "{up}"),
    Step("Raise or remove `MemoryMax=` and `MemoryHigh=` that others wrote.", "systemctl cat ollama"),
    _LESS,
    _SMALLER,
)
_OOMD = (
    _LESS,
    Step("Or give the host swap: `swap_kind: file`; then", "{up}"),
    Step(
        "Or exempt the unit: `systemctl edit ollama`, with `[Service]` and `ManagedOOMPreference=avoid`; then",
        "sudo systemctl daemon-reload",
    ),
)


RULES = (
    Rule(
        kernel_oom_kill,
        Severity.ERROR,
        steps=_KERNEL,
        explains=("out-of-memory", "oompolicy-stops-service", *DOWN),
        needs=("kernel.log",),
    ),
    Rule(
        container_memory_limit_oom,
        Severity.ERROR,
        steps=_CONTAINER,
        explains=("out-of-memory", *DOWN),
        needs=("docker-inspect.json", "cgroup.txt", "kernel.log"),
    ),
    Rule(
        systemd_memorymax_oom,
        Severity.ERROR,
        steps=_UNIT,
        explains=("out-of-memory", "oompolicy-stops-service", "swap-thrashing", *DOWN),
        needs=("systemctl-show.txt", "cgroup.txt", "kernel.log"),
    ),
    Rule(
        oompolicy_stops_service,
        Severity.ERROR,
        steps=(
            Step(
                "Let only the runner die: the unit that `up` writes says `OOMPolicy=continue`.",
                "{up}",
                Automate.ASK,
                "apply",
            ),
        ),
        explains=("out-of-memory", *DOWN),
        needs=("systemctl-show.txt", "journal.log"),
    ),
    Rule(
        systemd_oomd_kill,
        Severity.ERROR,
        steps=_OOMD,
        explains=("out-of-memory", *DOWN),
        needs=("journal.log",),
    ),
)
