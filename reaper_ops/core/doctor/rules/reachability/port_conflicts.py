"""Two programs want the same port, or two servers run where one was meant."""

from __future__ import annotations

import re
from dataclasses import replace

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.reachability import loop, port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.facts.traces import DockerContainer, Listener, Running
from reaper_ops.core.health.report import Evidence

FREE_PORTS = 1024
_REFUSED_PORT = re.compile(r":(\d{1,5}): bind: ")


def port_taken(case: HostEvidence) -> Finding | None:
    """Another program holds the port that Ollama wants.

    The server cannot listen, so it exits at start. The holder may be another Ollama (second-instance), an SSH tunnel, a
    container of another project, or LM Studio. A port below 1024 fails for another reason: it needs root.

    Signals:
    - `Error: listen tcp 127.0.0.1:11434: bind: address already in use`
    - Compose: `Bind for 127.0.0.1:11434 failed: port is already allocated`

    Not to be confused with:
    - wrong-service-on-port: another program answers there, but no Ollama of this host wants that port.
    - bind-address-missing: `cannot assign requested address` is about the address, not the port.
    - a loop that has ended: the server logged `Listening on` after the last such line.

    Sources:
    - https://github.com/ollama/ollama/issues/707
    - https://github.com/ollama/ollama/issues/9960
    """
    line, owner = _refused(case), port.stranger(case)
    if line is None and (owner is None or not _stopped(case)):
        return None
    wanted = _REFUSED_PORT.search(line.text) if line else None
    number = wanted[1] if wanted else str(case.settings.ollama_port)
    if line is not None and ": bind: permission denied" in line.text:
        why = "ports below 1024 need root" if int(number) < FREE_PORTS else "a security policy forbids it"
        return Finding(f"the server is not allowed to listen on port {number}: {why}", (line,), steps=(_OTHER_PORT,))
    logged, values = (line,) if line else (), {"port": number}
    if owner is None or number != str(case.settings.ollama_port):
        summary = f"port {number} was taken when the server started"
        return Finding(summary, logged, Confidence.LIKELY, {**values, "owner": "it"})
    name = _holder(case, owner)
    sure = Confidence.CERTAIN if line else Confidence.LIKELY
    summary = f"port {number} is taken by {name or 'a process that only root can name'}, so Ollama cannot listen there"
    steps = (_SEE, loop.allowed(case, _FREE), _MOVE)
    return Finding(summary, (*logged, port.listens(case)), sure, {**values, "owner": name or "it"}, steps=steps)


def _holder(case: HostEvidence, owner: Listener) -> str:
    """Who has to go: behind a proxy of Docker it is a container."""
    boxes = (box for box in case.traces.containers or () if port.publishes(case, box))
    box = next(boxes, None) if owner.command in port.PROXIES else None
    return f"the container {box.name}" if box else port.who(owner)


def second_instance(case: HostEvidence) -> Finding | None:
    """A second Ollama runs on a host that should have one.

    Somebody typed `ollama serve` while the service existed, or a container and a unit both run. The two differ in
    version, settings, user and model store. The one that has the port answers; the other fails, or runs unnoticed.

    Signals:
    - models seem to be gone, settings have no effect
    - `bind: address already in use` from `ollama serve`

    Not to be confused with:
    - port-taken: the holder is not an Ollama.
    - several servers on purpose, each a service or a container with its own port: not a fault.

    Sources:
    - https://github.com/ollama/ollama/issues/14963
    - https://github.com/ollama/ollama/issues/11503
    """
    if not _has_own_server(case):
        return None
    taker = usurper(case)
    if taker is not None:
        what = f"pid {taker.pid}{f' of user {taker.user}' if taker.user else ''}"
        summary = f"a second Ollama ({what}) holds port {case.settings.ollama_port} instead of {_name(case)}"
        return Finding(summary, (_row(taker), port.listens(case)), values=_values(taker), steps=_end(case, taker))
    box = _other_container(case)
    if box is not None:
        summary = f"the container {box.name} holds port {case.settings.ollama_port} instead of {_name(case)}"
        shown = Evidence("docker ps", f"{box.name} ({box.image}) publishes port {case.settings.ollama_port}")
        stop = Step(
            f"Stop the container {{name}}, also at boot: it and {_name(case)} cannot both have the port.",
            "docker update --restart=no {name} && docker stop {name}",
        )
        steps = (stop, _start(case))
        return Finding(summary, (shown, port.listens(case)), values={"name": box.name}, steps=steps)
    stray = next((p for p in _others(case) if _by_hand(case, p)), None)
    if stray is None or case.facts is None or case.facts.process is None:
        return None
    what = f"pid {stray.pid}{f' of user {stray.user}' if stray.user else ''}"
    summary = f"a second Ollama ({what}) runs in addition to {_name(case)}"
    values, end = _values(stray), _end(case, stray)[:1]
    return Finding(summary, (_row(stray),), Confidence.LIKELY, values, Severity.WARNING, end)


def usurper(case: HostEvidence) -> Running | None:
    """Another Ollama that answers at the port of the one that belongs to this host."""
    held = {listener.pid for listener in port.holders(case) if listener.pid is not None}
    found = (process for process in _others(case) if process.pid in held)
    return next(found, None) if _has_own_server(case) else None


def _others(case: HostEvidence) -> list[Running]:
    return [p for p in case.traces.processes or () if _serves(p) and not _ours(case, p)]


def _refused(case: HostEvidence) -> Evidence | None:
    """The server's, or Docker's, own line about a port that it could not have."""
    hit = port.fatal_line(case, "port-taken", "bind-permission")
    healed = case.unit.get("ActiveState") == "active" and port.holders(case) and port.stranger(case) is None
    if hit is not None and not healed:
        return Evidence("server log", excerpt(hit.line, 200))
    facts = case.facts
    if facts is None or facts.container is None or facts.container.state == "running":
        return None
    found = signatures.match("docker", facts.container.error)
    taken = found is not None and found.signature.id == "docker-port-taken"
    return Evidence("docker inspect", excerpt(facts.container.error, 200)) if taken else None


def _stopped(case: HostEvidence) -> bool:
    """It is installed, does not run, and would meet the stranger as soon as it starts."""
    facts = case.facts
    if facts is None or facts.process is not None:
        return False
    if case.settings.ollama_runtime == "systemd":
        return case.unit.get("LoadState") == "loaded" and case.unit.get("ActiveState") != "active"
    if case.settings.ollama_runtime == "docker":
        return facts.container is not None and facts.container.state != "running"
    return bool(facts.releases) and not _hidden(facts)


def _serves(process: Running) -> bool:
    names = [word.rsplit("/", 1)[-1] for word in process.command.split()[:4]]
    program = names[1:] if names[:1] and names[0].startswith("python") else names
    return program[:1] == ["ollama"] and "serve" in program[1:3]


def _ours(case: HostEvidence, process: Running) -> bool:
    facts = case.facts
    if facts is None or (facts.process is not None and process.pid == facts.process.pid):
        return True
    if case.settings.ollama_runtime == "process" or not (process.cgroup or case.unit):
        return _hidden(facts)
    if case.settings.ollama_runtime == "systemd":
        return "/ollama.service" in process.cgroup or case.unit.get("MainPID") == str(process.pid)
    return bool(facts.container and facts.container.id and facts.container.id[:12] in process.cgroup)


def _hidden(facts: Facts) -> bool:
    """Whether nothing that was read shows which process is ours."""
    return facts.process is None and "process" in facts.unread


def _has_own_server(case: HostEvidence) -> bool:
    """Whether there is a first one: a host that is not managed may run its server in any way, such as a snap."""
    facts = case.facts
    if case.settings.ollama_managed or facts is None or facts.process is not None:
        return True
    return case.unit.get("LoadState") == "loaded" or facts.container is not None


def _by_hand(case: HostEvidence, process: Running) -> bool:
    """Next to a service: from a login session; next to a container: the vendor's unit as well."""
    if case.settings.ollama_runtime == "process":
        return False
    vendors = case.settings.ollama_runtime == "docker" and process.cgroup.endswith("/ollama.service")
    return vendors or "/user.slice/" in process.cgroup


def _other_container(case: HostEvidence) -> DockerContainer | None:
    mine = port.container(case)
    if port.stranger(case) is None:
        return None
    found = (c for c in case.traces.containers or () if c.serves and c is not mine and port.publishes(case, c))
    return next(found, None)


def _name(case: HostEvidence) -> str:
    names = {"systemd": "ollama.service", "docker": "the container ollama", "process": "the server of this host"}
    return names[case.settings.ollama_runtime]


def _unit(process: Running) -> str:
    last = process.cgroup.rsplit("/", 1)[-1]
    return last if last.endswith(".service") and "/user.slice/" not in process.cgroup else ""


def _row(process: Running) -> Evidence:
    where = f" in {process.cgroup}" if process.cgroup else ""
    return Evidence("ps", f"{process.pid} {process.user} {process.command}{where}")


def _values(process: Running) -> dict[str, str]:
    return {"pid": str(process.pid), "owner": _unit(process) or process.user}


def _end(case: HostEvidence, process: Running) -> tuple[Step, ...]:
    if _unit(process):
        stop = Step("Stop the unit {owner}, now and at boot.", "sudo systemctl disable --now {owner}")
        return (stop, _start(case))
    return (_END, _start(case))


def _start(case: HostEvidence) -> Step:
    return loop.allowed(case, replace(_START, text=f"Then start {_name(case)}."))


_END = Step(
    "Stop the second server, pid {pid}. If it has settings that you need, put them into the inventory.",
    "sudo kill {pid}",
    Automate.ASK,
    "stop-process",
)
_START = Step("Then start the server of this host.", "{start}", Automate.ASK, "start")
_OTHER_PORT = Step(
    "Set `ollama_port` in the inventory to a port from 1024 on, then apply.", "{up}", Automate.ASK, "apply"
)

_SEE = Step(
    "Check who holds the port, and stop {owner} if it does not belong there.", "sudo ss -ltnp 'sport = :{port}'"
)
_FREE = Step("Once the port is free, start the server.", "{start}", Automate.ASK, "start")
_MOVE = Step("Or set `ollama_port` in the inventory to a free port, then apply.", "{up}")

RULES = (
    Rule(
        port_taken,
        Severity.ERROR,
        steps=(_SEE, _FREE, _MOVE),
        explains=(
            "service-crash-looping",
            "service-not-running",
            "wrong-service-on-port",
            "connection-refused",
            "not-ollama",
        ),
        needs=("ss.txt", "journal.log"),
    ),
    Rule(
        second_instance,
        Severity.ERROR,
        steps=(_END, _START),
        explains=(
            "port-taken",
            "service-crash-looping",
            "service-not-running",
            "wrong-service-on-port",
            "model-missing",
        ),
        needs=("ss.txt", "ps.txt"),
    ),
)
