"""Whether systemd or Docker restarts a server again and again, and what the server logs before it exits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reaper_ops.core.doctor.finding import Confidence, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.health.report import Evidence, State

YOUNG = 60
SHOWN = ("ActiveState", "SubState", "Result", "NRestarts", "ExecMainStatus")


@dataclass(frozen=True)
class Loop:
    summary: str
    evidence: tuple[Evidence, ...]
    confidence: Confidence
    given_up: bool = False


def seen(case: HostEvidence) -> Loop | None:
    if case.settings.ollama_runtime == "docker":
        return _docker(case)
    return _systemd(case) if case.settings.ollama_runtime == "systemd" else None


def _systemd(case: HostEvidence) -> Loop | None:
    unit, again = case.unit, case.traces.unit_again or {}
    if unit.get("LoadState") != "loaded":
        return None
    first, second = _count(unit.get("NRestarts")), _count(again.get("NRestarts"))
    evidence = [port.properties(case, *SHOWN)]
    if second > first:
        evidence.append(Evidence("systemctl show, again", f"NRestarts={second} SubState={again.get('SubState', '?')}"))
    counted = max(first, second)
    if unit.get("ActiveState") == "failed":
        times = f" {counted + 1} times" if counted else ""
        summary = f"the service exited{times}, and systemd no longer restarts it (Result={unit.get('Result', '?')})"
        return Loop(summary, tuple(evidence), Confidence.CERTAIN, given_up=True)
    if "auto-restart" in {unit.get("SubState"), again.get("SubState")} or second > first:
        sure = Confidence.CERTAIN if counted >= 2 else Confidence.POSSIBLE
        times = f"{counted} restarts so far" if counted else "its first restart is due"
        return Loop(f"the service keeps exiting, and systemd restarts it ({times})", tuple(evidence), sure)
    return _young(case, first, evidence)


def _docker(case: HostEvidence) -> Loop | None:
    found = case.facts.container if case.facts else None
    if found is None:
        return None
    shown = f"State {found.state}, RestartCount {found.restarts}, ExitCode {found.exit_code}"
    evidence = [Evidence("docker inspect", shown)]
    if found.state == "restarting":
        summary = f"the container keeps exiting, and Docker restarts it (exit code {found.exit_code})"
        return Loop(summary, tuple(evidence), Confidence.CERTAIN)
    return _young(case, found.restarts or 0, evidence)


def _young(case: HostEvidence, restarts: int, evidence: list[Evidence]) -> Loop | None:
    """It runs at this moment, for the fourth time or more, and did not answer."""
    age = port.age(case)
    if restarts < 3 or age is None or age > YOUNG or case.state not in {State.CONNECTION_REFUSED, State.HTTP_ERROR}:
        return None
    evidence.append(Evidence("ps", f"the server is {age} s old"))
    return Loop(f"the service keeps exiting ({restarts} restarts so far)", tuple(evidence), Confidence.LIKELY)


def last_error(case: HostEvidence) -> str:
    """The line with the cause: a known one, otherwise the server's own last `Error:` or panic."""
    lines = port.start_lines(case)
    known = [hit.line for hit in lines if hit.signature.causes]
    fatal = [hit.line for hit in lines if hit.signature.id == "server-died"]
    return next(iter([*known[-1:], *fatal[-1:]]), "")


def allowed(case: HostEvidence, step: Step) -> Step:
    """The same start, where systemd's limit would refuse it for the rest of its ten minutes."""
    if case.unit.get("ActiveState") != "failed" or case.settings.ollama_runtime != "systemd":
        return step
    return replace(step, command=f"sudo systemctl reset-failed ollama && {step.command}")


def _count(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
