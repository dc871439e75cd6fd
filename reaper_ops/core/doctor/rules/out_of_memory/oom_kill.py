"""Who killed a process of Ollama, and for whose limit: one decision for the rules that look alike."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence
from reaper_ops.core.doctor.rules import memory
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.health.report import Evidence, State

KERNEL, CONTAINER, UNIT = "kernel-oom-kill", "container-memory-limit-oom", "systemd-memorymax-oom"
POLICY, OOMD = "oompolicy-stops-service", "systemd-oomd-kill"
KILLS = frozenset({KERNEL, CONTAINER, UNIT, POLICY, OOMD})
CONTAINERS = ("docker", "containerd", "libpod", "kubepods", "lxc", "machine.slice")
ID = re.compile(r"[0-9a-f]{64}")
SYSTEMD = (".service", ".slice", ".scope")
SIGKILLED = 137
SAME_MOMENT = 120
DOWN = frozenset({State.CONNECTION_REFUSED, State.HTTP_ERROR})


@dataclass(frozen=True)
class OomKill:
    """A kill that still does harm: the server is down, or its last load failed.

    victim: the kernel's line. group: the control group whose limit was reached, where the kernel named it.
    """

    cause: str
    evidence: tuple[Evidence, ...]
    confidence: Confidence = Confidence.CERTAIN
    victim: Hit | None = None
    group: str = ""


def oom_kill(case: HostEvidence) -> OomKill | None:
    """None for a kill that was made good since: the probe's rules judge that."""
    if case.facts is None:
        return None
    verdict = next((v for v in case.verdicts if v.state is State.OUT_OF_MEMORY and v.cause in KILLS), None)
    line = memory.kernel_line(case) if verdict or _exited(case) or _alone(case) else None
    oomd = _oomd(case) if verdict or _gone(case) else None
    if oomd is not None and (line is None or headroom.stamp(oomd.line) >= headroom.stamp(line.line) != ""):
        return OomKill(OOMD, (Evidence("journal", excerpt(oomd.line)),))
    if line is not None:
        by_kernel = _by_kernel(case, line)
        doubtful = verdict is None or _long_before(case, line)
        return replace(by_kernel, confidence=Confidence.LIKELY) if doubtful else by_kernel
    return _counted(case) if verdict else None


def _exited(case: HostEvidence) -> bool:
    """A container ended by SIGKILL; the engine's own flag stays false with control groups of version 1."""
    container = case.facts.container if case.facts else None
    return container is not None and container.state == "exited" and container.exit_code == SIGKILLED


def _alone(case: HostEvidence) -> bool:
    """Somebody sent the kernel's lines and nothing that could say whether the harm was undone."""
    facts = case.facts
    return bool(facts and facts.journal is None and facts.unit is None and not case.seen.exchanges) and not (
        facts and (facts.process or facts.container)
    )


def _long_before(case: HostEvidence, line: Hit) -> bool:
    """The kernel's line is not of the load that failed: that one ended minutes later."""
    failed = case.log.failed_load
    if failed is None or failed.signature.id != "runner-killed":
        return False
    killed, ended = headroom.stamp(line.line), headroom.stamp(failed.line)
    try:
        return abs((datetime.fromisoformat(ended) - datetime.fromisoformat(killed)).total_seconds()) > SAME_MOMENT
    except (ValueError, TypeError):
        return False


def _gone(case: HostEvidence) -> bool:
    """Something died, and the probe could not tell of what."""
    if case.log.failed_load is not None and case.log.failed_load.signature.id in signatures.KILLED:
        return True
    return any(v.state in DOWN for v in case.verdicts) and not case.log.stopped


def _oomd(case: HostEvidence) -> Hit | None:
    """The last kill of systemd-oomd that names our unit, container or control group."""
    assert case.facts is not None
    container = case.facts.container
    marks = [container.id] if container and container.id else []
    marks += [case.traces.cgroup.path] if case.traces.cgroup and len(case.traces.cgroup.path) > 1 else []
    found = None
    for hit in (*case.log_hits, *signatures.hits("log", case.traces.oomd)):
        group = hit.groups.get("cgroup", "")
        if hit.signature.id == "oomd-kill" or (
            hit.signature.id == "oomd-kill-of" and any(mark in group for mark in marks)
        ):
            found = hit
    return found


def _by_kernel(case: HostEvidence, line: Hit) -> OomKill:
    rows = [hit for hit in memory.constraints(case) if hit.groups["pid"] == line.groups["pid"]]
    group = rows[-1].groups.get("memcg", "") if rows else ""
    proof = memory.kill(case)
    shown = proof.evidence if proof else (Evidence("kernel log", excerpt(line.line)),)
    if rows and group:
        shown = (*shown, Evidence("kernel log", f"{rows[-1].groups['constraint']} oom_memcg={group}"))
    if not line.groups.get("memcg", "").startswith("Memory"):
        return OomKill(KERNEL, shown, victim=line)
    cause = _owner(case, group)
    return OomKill(cause, shown, Confidence.CERTAIN if group else Confidence.LIKELY, line, group)


def _owner(case: HostEvidence, group: str) -> str:
    """Whose limit a control group is: the innermost name says it, since a whole host may be a container."""
    last = group.rpartition("/")[2]
    if any(mark in last for mark in CONTAINERS) or ID.fullmatch(last):
        return CONTAINER
    if last.endswith(SYSTEMD):
        return UNIT
    inside = case.settings.ollama_runtime == "docker" or bool(case.facts and case.facts.system.container)
    return CONTAINER if inside or group or case.settings.ollama_runtime == "process" else UNIT


def _counted(case: HostEvidence) -> OomKill | None:
    """No kernel line: counters and flags say that there was a kill, and a limit says whose it was."""
    proof = memory.kill(case)
    shown = proof.evidence if proof else _from_systemd(case)
    limit = headroom.limit(case)
    if not shown:
        return None
    docker = case.settings.ollama_runtime == "docker"
    if limit is None and (not docker or case.traces.containers is not None):
        return OomKill(KERNEL, (*shown, Evidence("limits", "none set")), Confidence.LIKELY)
    if limit is not None:
        shown = (*shown, Evidence(limit.where, headroom.gib(limit.size)))
    peak = case.traces.cgroup.peak if case.traces.cgroup else None
    full = limit is not None and peak is not None and peak >= 0.98 * limit.size
    return OomKill(CONTAINER if docker else UNIT, shown, Confidence.CERTAIN if full else Confidence.LIKELY)


def _from_systemd(case: HostEvidence) -> tuple[Evidence, ...]:
    found = [Evidence("systemctl show", "Result=oom-kill")] if case.unit.get("Result") == "oom-kill" else []
    before = case.log.killed_after or case.log.previous
    if before is not None:
        found.append(Evidence("journal", excerpt(before.line)))
    return tuple(found)
