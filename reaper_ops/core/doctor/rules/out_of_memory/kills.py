"""Killed for lack of memory: by the kernel, at a limit, by systemd."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import kill_remedies as remedies
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom
from reaper_ops.core.doctor.rules.out_of_memory.oom_kill import CONTAINER, KERNEL, OOMD, UNIT, OomKill, oom_kill
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


def _who(kill: OomKill) -> str:
    return headroom.victim(kill.victim) if kill.victim else "a process of Ollama"


def kernel_oom_kill(case: HostEvidence) -> Finding | None:
    """The kernel killed a process of Ollama because the host ran out of memory.

    Model, context and all other programs together need more than main memory and swap. From 0.30 Ollama no longer
    refuses such a load. The kernel kills the largest process: mostly the runner, sometimes an unrelated program.

    Signals:
    - `llama-server process has terminated: signal: killed`; up to 0.24 `llama runner process has terminated: ...`
    - `an error was encountered while running the model: unexpected EOF` in an answer with status 200
    - connection refused for some seconds, then no model is loaded

    Not to be confused with:
    - container-memory-limit-oom, systemd-memorymax-oom: the kernel says `Memory cgroup out of memory` and names the
      group that reached its limit; here it says `Out of memory`.
    - systemd-oomd-kill: the journal names systemd-oomd, and the kernel logs nothing.
    - ram-preflight-refused: the server refused the load, and nothing was killed.
    - an orderly unload can log `llama-server terminated ... signal: killed`, but without a line of the kernel.

    Sources:
    - https://github.com/ollama/ollama/issues/10739
    - https://github.com/ollama/ollama/issues/9934
    - https://github.com/ollama/ollama/issues/9678
    """
    kill = oom_kill(case)
    if kill is not None and kill.cause == KERNEL:
        summary = f"the kernel killed {_who(kill)}, because the host ran out of memory{headroom.host(case)}"
        return Finding(summary, kill.evidence, kill.confidence, steps=remedies.host_ran_out(case))
    return _bystander(case) if kill is None else None


def _bystander(case: HostEvidence) -> Finding | None:
    """A load of Ollama needed memory, and the kernel killed another program."""
    invoked = False
    if case.state not in {State.OUT_OF_MEMORY, State.DEGRADED}:
        return None
    for hit in case.kernel_hits:
        if hit.signature.id == "oom-invoked":
            invoked = _ours(hit)
        elif hit.signature.id == "oom-kill" and invoked and not _ours(hit) and hit.groups["memcg"] == "O":
            summary = f"Ollama needed memory, and the kernel killed another program: {headroom.victim(hit)}"
            evidence = (Evidence("kernel log", excerpt(hit.line)),)
            steps = remedies.host_ran_out(case)
            return Finding(
                summary + headroom.host(case), evidence, Confidence.LIKELY, severity=Severity.WARNING, steps=steps
            )
    return None


def _ours(hit: Hit) -> bool:
    return hit.groups["comm"].startswith(("ollama", *RUNNERS))


def container_memory_limit_oom(case: HostEvidence) -> Finding | None:
    """The container reached its memory limit, and the kernel killed a process in it.

    Often only the runner dies: the container keeps running and answering, with `OOMKilled: true` until its next start.
    With control groups of version 1 the flag stays false.

    Signals:
    - exit code 137 and a restart; or HTTP 500 `signal: killed` while the container stays up
    - plenty of free memory on the host

    Not to be confused with:
    - kernel-oom-kill: the kernel says `Out of memory` without `Memory cgroup`: the whole host ran out of memory.
    - exit code 137 with neither flag nor kernel line: `docker stop`, or a kill by hand.

    Sources:
    - moby daemon/monitor.go, the event oom
    - https://github.com/moby/moby/issues/21083
    - https://github.com/morphik-org/morphik-core/issues/120
    """
    kill = oom_kill(case)
    if kill is None or kill.cause != CONTAINER:
        return None
    limit = headroom.limit(case)
    size = f" of {headroom.gib(limit.size)}" if limit else ""
    boxed = case.settings.ollama_runtime == "docker" or bool(case.facts and case.facts.system.container)
    whose = "the container" if boxed else f"the control group {kill.group}" if kill.group else "a control group"
    summary = f"{whose} reached its memory limit{size}, and the kernel killed {_who(kill)}"
    values = {"path": kill.group} if case.settings.ollama_runtime == "process" and kill.group else {}
    return Finding(summary, kill.evidence, kill.confidence, values, steps=remedies.limit_reached(case, kill.group))


def systemd_memorymax_oom(case: HostEvidence) -> Finding | None:
    """The service reached its memory limit, and the kernel killed a process in it.

    Ollama reads limits only at the root of the control groups, so it does not see the `MemoryMax` of a unit or slice
    and plans with all of the host's memory.

    Signals:
    - a load is killed although `free -h` shows plenty; with `MemoryHigh` it is very slow instead
    - `Memory cgroup out of memory: Killed process ... (llama-server)` with `oom_memcg=/system.slice/ollama.service`

    Not to be confused with:
    - kernel-oom-kill: no `Memory cgroup` in the kernel's line.
    - container-memory-limit-oom: `oom_memcg` names docker, containerd, libpod or kubepods.

    Sources:
    - discover/cpu_linux.go of Ollama
    - https://github.com/ollama/ollama/issues/7686
    """
    kill = oom_kill(case)
    if kill is None:
        return _throttled(case)
    if kill.cause != UNIT:
        return None
    limit, outer = headroom.limit(case), kill.group.endswith(".slice")
    size = f" ({limit.where}, {headroom.gib(limit.size)})" if limit and not outer else ""
    whose = f"the slice {kill.group.rpartition('/')[2]}" if outer else "the service"
    summary = f"{whose} reached its memory limit{size}, and the kernel killed {_who(kill)}"
    values, steps = remedies.limit_values(kill.group), remedies.limit_reached(case, kill.group)
    return Finding(summary, kill.evidence, kill.confidence, values, steps=steps)


def _throttled(case: HostEvidence) -> Finding | None:
    """`MemoryHigh` kills nothing: the kernel makes the unit wait while it reclaims its pages."""
    cgroup, pressure = case.traces.cgroup, case.traces.pressure
    if cgroup is None or not cgroup.high or not cgroup.high_events or case.settings.ollama_runtime != "systemd":
        return None
    if (cgroup.current or 0) < NEARLY * cgroup.high or pressure is None or pressure.full < WAITING:
        return None
    shown = (
        Evidence("cgroup memory.high", f"{headroom.gib(cgroup.high)}, in use {headroom.gib(cgroup.current or 0)}"),
        Evidence("cgroup memory.events", f"high {cgroup.high_events}"),
        Evidence("/proc/pressure/memory", f"full avg10={pressure.full:.1f}"),
    )
    summary = f"the kernel slows the service down at its MemoryHigh of {headroom.gib(cgroup.high)}"
    values, steps = remedies.limit_values(""), remedies.throttled(case)
    return Finding(summary, shown, Confidence.LIKELY, values, severity=Severity.WARNING, steps=steps)


def oompolicy_stops_service(case: HostEvidence) -> Finding | None:
    """The kernel killed one runner for memory, and systemd then stopped the whole service.

    With `OOMPolicy=stop`, systemd's default, the kill of any process of the unit stops the unit: clients get connection
    refused, all models are unloaded, and the server starts again without any.

    Signals:
    - HTTP 500 or a cut answer, then 3 to 10 seconds of connection refused, then an empty `/api/ps`
    - `A process of this unit has been killed by the OOM killer`, then `Failed with result 'oom-kill'`

    Not to be confused with:
    - kernel-oom-kill alone: with `OOMPolicy=continue` only the runner dies. If the kernel kills the server itself, the
      policy does not matter.
    - service-not-running: Result is success.
    - a host with control groups of version 1: systemd gets no such event, and the unit stays active.

    Sources:
    - systemd.service(5), OOMPolicy=
    - https://github.com/ollama/ollama/issues/9322
    - https://github.com/ollama/ollama/issues/11231
    """
    kill = oom_kill(case)
    if kill is None or kill.cause == OOMD or case.settings.ollama_runtime != "systemd":
        return None
    policy = case.unit.get("OOMPolicy", "")
    shown = _stopped(case)
    if policy == "continue" or not shown or _server_itself(case, kill):
        return None
    certain = policy in {"stop", "kill"} and kill.victim is not None
    shown = (*shown, Evidence("systemctl show", f"OOMPolicy={policy}")) if policy else shown
    summary = "systemd stopped the whole service because the kernel killed one of its processes for memory"
    return Finding(summary, shown, Confidence.CERTAIN if certain else Confidence.LIKELY)


def _stopped(case: HostEvidence) -> tuple[Evidence, ...]:
    if case.unit.get("Result") == "oom-kill":
        return (Evidence("systemctl show", f"Result=oom-kill ActiveState={case.unit.get('ActiveState', '?')}"),)
    before = case.log.killed_after or case.log.previous
    if before is not None and before.signature.id in {"unit-result-oom", "unit-oom"}:
        return (Evidence("journal", excerpt(before.line)),)
    return ()


def _server_itself(case: HostEvidence, kill: OomKill) -> bool:
    """The pid that wrote the server's log was the victim; the name alone does not say, runners were named so too."""
    if kill.victim is None or kill.victim.groups["comm"].startswith(RUNNERS):
        return False
    return f" ollama[{kill.victim.groups['pid']}]:" in (case.facts.journal or "" if case.facts else "")


def systemd_oomd_kill(case: HostEvidence) -> Finding | None:
    """systemd-oomd killed Ollama to relieve the host's memory pressure.

    It acts before the kernel does, at a pressure over 50 % for 20 seconds or swap over 90 % full, and kills a whole
    control group: the unit, the container, or the session scope in which `ollama serve` runs.

    Signals:
    - the server is gone, and the kernel log has no line about it
    - `ollama.service: systemd-oomd killed 21 process(es) in this unit.`

    Not to be confused with:
    - kernel-oom-kill: the kernel's `Out of memory: Killed process`.
    - oompolicy-stops-service: the kernel killed one process, and systemd stopped the rest.

    Sources:
    - https://github.com/systemd/systemd/issues/23606
    - https://github.com/systemd/systemd/issues/35270
    - https://github.com/omacom/omarchy/issues/9799
    """
    kill = oom_kill(case)
    if kill is None:
        return _login_scope(case)
    if kill.cause != OOMD:
        return None
    at = headroom.when(kill.evidence[0].text)
    summary = f"systemd-oomd killed Ollama{at} to relieve memory pressure{headroom.host(case)}"
    return Finding(summary, kill.evidence, steps=remedies.by_oomd(case))


def _login_scope(case: HostEvidence) -> Finding | None:
    """A server started in a login session dies with its scope, whose name does not mention Ollama."""
    facts = case.facts
    gone = case.state in {State.CONNECTION_REFUSED, State.OUT_OF_MEMORY} and not case.log.stopped
    if facts is None or facts.process is not None or case.settings.ollama_runtime != "process" or not gone:
        return None
    user = facts.system.uid
    for hit in signatures.hits("log", case.traces.oomd):
        group = hit.groups.get("cgroup", "")
        if f"/user-{user}.slice/" in group:
            return Finding(
                "systemd-oomd killed a session scope of this user, in which Ollama may have run",
                (Evidence("journal of systemd-oomd", excerpt(hit.line)),),
                Confidence.POSSIBLE,
                steps=remedies.by_oomd(case),
            )
    return None


RULES = (
    Rule(
        kernel_oom_kill,
        Severity.ERROR,
        steps=(remedies.LESS, remedies.SWAP, remedies.SMALLER),
        explains=("out-of-memory", "oompolicy-stops-service", *DOWN),
        needs=("kernel.log",),
    ),
    Rule(
        container_memory_limit_oom,
        Severity.ERROR,
        steps=(remedies.RAISE, remedies.LESS, remedies.SMALLER),
        explains=("out-of-memory", *DOWN),
        needs=("docker-inspect.json", "cgroup.txt", "kernel.log"),
    ),
    Rule(
        systemd_memorymax_oom,
        Severity.ERROR,
        steps=(remedies.RAISE, remedies.LESS, remedies.SMALLER),
        explains=("out-of-memory", "oompolicy-stops-service", "swap-thrashing", *DOWN),
        needs=("systemctl-show.txt", "cgroup.txt", "kernel.log"),
    ),
    Rule(
        oompolicy_stops_service,
        Severity.ERROR,
        steps=(
            Step(
                "Let only the runner die: `up` writes a unit with `OOMPolicy=continue`.",
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
        steps=(remedies.LESS, remedies.SWAP, remedies.EXEMPT),
        explains=("out-of-memory", *DOWN),
        needs=("journal.log",),
    ),
)
