"""The service itself: not installed, not running, or exiting at every start."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import memory, service
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict, excerpt
from reaper_ops.core.doctor.rules.reachability import loop, port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State

SILENT = {State.CONNECTION_REFUSED, State.TIMEOUT, State.UNREACHABLE, State.NOT_OLLAMA, State.TLS, State.DNS}


def service_not_installed(case: HostEvidence) -> Finding | None:
    """Ollama is not installed on this host.

    There is no unit, no container and no release of `reaper-ops`. Or somebody unpacked the archive by hand, which does
    not create a unit.

    Signals:
    - `curl: (7) Failed to connect to localhost port 11434: Couldn't connect to server`
    - `ollama: command not found`

    Not to be confused with:
    - service-not-running: a unit or a container exists. Over the network the two look the same.
    - a masked unit: it exists, but systemd refuses to start it (service-not-running).

    Sources:
    - install.sh of Ollama
    - https://github.com/ollama/ollama/issues/15940
    """
    verdict = _down(case, "service-not-installed")
    if verdict is None or case.unit.get("LoadState", "not-found") != "not-found":
        return None
    stray = tuple(Evidence("which -a ollama", binary.path) for binary in (case.traces.binaries or ())[:1])
    other = next((c for c in case.traces.containers or () if c.serves and c.name != "ollama"), None)
    more = (Evidence("docker ps -a", f"{other.name} ({other.image}) is {other.state}"),) if other else ()
    note = f"; the program {stray[0].text} exists, but nothing starts it" if stray else ""
    return Finding(verdict.summary + note, (*verdict.evidence, *stray, *more))


def service_not_running(case: HostEvidence) -> Finding | None:
    """Ollama is installed, and stopped.

    Somebody stopped the service, never enabled it, or masked it; or the machine has no systemd, where the vendor's
    installer only prints a warning. `docker start ollama` starts a container, `ollama serve` a server without systemd.

    Signals:
    - `Error: could not connect to ollama server, run 'ollama serve' to start it`
    - `[Errno 111] Connection refused`, `connect ECONNREFUSED 127.0.0.1:11434`

    Not to be confused with:
    - service-crash-looping: NRestarts grows; here it does not.
    - oompolicy-stops-service: Result=oom-kill; here it is `success`.

    Sources:
    - https://github.com/ollama/ollama/issues/3200
    - https://github.com/ollama/ollama/issues/7697
    """
    if _loops(case):
        return None
    if case.unit.get("LoadState") == "masked" and case.state in SILENT:
        summary = "ollama.service is masked, so systemd refuses to start it"
        unmask = Step("Unmask the unit.", "sudo systemctl unmask ollama")
        apply = Step("Restore the unit and start the service.", "{up}", Automate.ASK, "apply")
        return Finding(summary, (port.properties(case, "LoadState", "ActiveState"),), steps=(unmask, apply))
    verdict = _down(case, "service-not-running")
    if verdict is None:
        return _without_systemd(case)
    facts = case.facts
    if facts and case.settings.ollama_runtime == "docker" and facts.docker and not facts.docker.running:
        engine = Step("Start the Docker engine, now and at boot.", "sudo systemctl enable --now docker")
        return Finding(verdict.summary, verdict.evidence, steps=(engine,))
    return Finding(verdict.summary, verdict.evidence, steps=_start(case))


def service_crash_looping(case: HostEvidence) -> Finding | None:
    """The service exits at every start, and systemd or Docker starts it again.

    The vendor's unit has Restart=always and RestartSec=3. systemd's default limit is five starts in ten seconds, which
    a start every three seconds never reaches, so that unit stays in `activating (auto-restart)` forever and never
    becomes `failed`. The unit of `reaper-ops` becomes `failed` after six starts in ten minutes.

    Signals:
    - connection refused most of the time, an answer for a second now and then
    - `Scheduled restart job, restart counter is at 4.`

    Not to be confused with:
    - a loop that has ended: NRestarts is high, but no longer grows, and the server answers.
    - service-not-running: Result=success, and nothing restarts it.
    - oompolicy-stops-service, kernel-oom-kill: the process was killed for lack of memory, not at start.

    Sources:
    - https://github.com/ollama/ollama/issues/9148
    - https://github.com/ollama/ollama/issues/3362
    - systemd.unit(5), StartLimitIntervalSec=
    """
    found = loop.seen(case)
    if found is None or memory.down_by_memory(case) is not None:
        return None
    line = loop.last_error(case)
    why = f": {excerpt(line.split(']: ')[-1], 120)}" if line else ""
    logged = (Evidence("server log", excerpt(line, 240)),) if line else ()
    steps = (_LOOK, loop.allowed(case, _AGAIN)) if found.given_up else (_LOOK,)
    return Finding(f"{found.summary}{why}", (*found.evidence, *logged), found.confidence, steps=steps)


def _loops(case: HostEvidence) -> bool:
    return loop.seen(case) is not None


def _down(case: HostEvidence, cause: str) -> Verdict | None:
    """What the host reports about its service, also where the probe got something other than a refusal."""
    verdict = case.verdict_of(cause)
    if verdict is None and case.state in SILENT:
        found = service.down(case)
        verdict = found if found is not None and found.cause == cause else None
    return verdict


def _without_systemd(case: HostEvidence) -> Finding | None:
    """A host whose process 1 is not systemd starts no unit at all."""
    facts = case.facts
    if facts is None or case.settings.ollama_runtime != "systemd" or case.state is not State.CONNECTION_REFUSED:
        return None
    init = facts.system.init
    if facts.unit is not None or not init or init == "systemd":
        return None
    steps = (
        Step(
            "Set `ollama_runtime: process` for this host in the inventory, then apply.", "{up}", Automate.ASK, "apply"
        ),
        *((_WSL,) if case.may_be_windows else ()),
    )
    summary = f"process 1 is {init}, not systemd, so nothing starts the service"
    return Finding(summary, (Evidence("/proc/1/comm", init),), Confidence.LIKELY, steps=steps)


def _start(case: HostEvidence) -> tuple[Step, ...] | None:
    """Only systemd starts a server at boot by the same command."""
    if port.paused(case):
        return (Step("Resume the container.", "docker unpause ollama"),)
    if case.settings.ollama_runtime == "docker":
        return (Step("Start the container.", "{start}", Automate.SAFE, "start"),)
    if case.settings.ollama_runtime == "process":
        text = "Start the server. Without systemd, nothing starts it at boot: repeat this after a reboot."
        return (Step(text, "{start}", Automate.SAFE, "start"),)
    return None


_WSL = Step(
    "Or enable systemd in WSL: `systemd=true` under `[boot]` in /etc/wsl.conf, then `wsl --shutdown` in Windows."
)
_LOOK = Step("Read the last lines before each exit, and correct what they name.", "{log}")
_AGAIN = Step("Then start the server: systemd no longer does.", "{restart}", Automate.ASK, "restart")

RULES = (
    Rule(
        service_not_installed,
        Severity.ERROR,
        steps=(Step("Install Ollama as the inventory configures it.", "{up}", Automate.ASK, "apply"),),
        explains=("connection-refused",),
        needs=("systemctl-show.txt",),
    ),
    Rule(
        service_not_running,
        Severity.ERROR,
        steps=(Step("Start the service, now and at boot.", "{start}", Automate.SAFE, "start"),),
        explains=("connection-refused",),
        needs=("systemctl-show.txt", "docker-inspect.json", "journal.log"),
    ),
    Rule(
        service_crash_looping,
        Severity.ERROR,
        steps=(_LOOK, replace(_AGAIN, command="sudo systemctl reset-failed ollama && {restart}")),
        explains=("connection-refused", "starting-up"),
        needs=("systemctl-show.txt", "docker-inspect.json", "journal.log"),
    ),
)
