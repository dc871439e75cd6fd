"""Two programs want the same port, or two servers run where one was meant."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.reachability import loop, port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.facts.traces import DockerContainer, Running
from reaper_ops.core.health.report import Evidence


def port_taken(case: HostEvidence) -> Finding | None:
    """Another program holds the port that Ollama wants.

    The server cannot listen and dies at start. The holder may be another Ollama (second-instance), an SSH tunnel, a
    container of another project, LM Studio. A port below 1024 is refused for another reason: it needs root.

    Signals:
    - `Error: listen tcp 127.0.0.1:11434: bind: address already in use`
    - Compose: `Bind for 127.0.0.1:11434 failed: port is already allocated`

    Not to be confused with:
    - wrong-service-on-port: a stranger answers there, but our server does not want that port.
    - bind-address-missing: `cannot assign requested address` is about the address, not the port.
    - a loop that has healed: after the last such line the server said `Listening on`.

    Sources:
    - https://github.com/ollama/ollama/issues/707
    - https://github.com/ollama/ollama/issues/9960
    """
    words, owner = _wanted(case), port.stranger(case)
    if words is None and (owner is None or not _stopped(case)):
        return None
    number = str(case.settings.ollama_port)
    if words is not None and ": bind: permission denied" in words.text:
        summary = f"the server may not listen on port {number}: ports below 1024 need root"
        return Finding(summary, (words,), steps=(_OTHER_PORT,))
    name = port.who(owner) if owner and owner.command else "a program that only root can see"
    said = (words,) if words else ()
    sure = Confidence.CERTAIN if words else Confidence.LIKELY
    summary = f"port {number} is taken by {name}, so Ollama cannot listen there"
    values = {"owner": name if owner and owner.command else "it"}
    if owner is None:
        return Finding(f"port {number} was taken when the server started", said, Confidence.LIKELY, values)
    steps = (_SEE, loop.allowed(case, _FREE), _MOVE)
    return Finding(summary, (*said, port.listens(case)), sure, values, steps=steps)


def second_instance(case: HostEvidence) -> Finding | None:
    """A second Ollama runs beside the one that is looked after.

    Somebody typed `ollama serve` while the service was there, or a container and a unit both run. The two differ in
    version, settings, user and model store; whichever has the port answers, the other fails or works unseen.

    Signals:
    - models vanished, settings are ignored
    - `bind: address already in use` from `ollama serve`, with the new address in the text

    Not to be confused with:
    - port-taken: the holder is no Ollama.
    - several servers on purpose, each a service or container with a port of its own: no fault.

    Sources:
    - https://github.com/ollama/ollama/issues/14963
    - https://github.com/ollama/ollama/issues/11503
    """
    if not _looked_after(case):
        return None
    held = {listener.pid for listener in port.holders(case) if listener.pid is not None}
    others = [p for p in case.traces.processes or () if _serves(p) and not _ours(case, p)]
    taker = next((p for p in others if p.pid in held), None)
    if taker is not None:
        what = f"pid {taker.pid}{f' of user {taker.user}' if taker.user else ''}"
        summary = f"a second Ollama, {what}, holds port {case.settings.ollama_port} instead of {_name(case)}"
        return Finding(summary, (_row(taker), port.listens(case)), values=_values(taker), steps=_end(case, taker))
    box = _other_container(case)
    if box is not None:
        summary = f"the container {box.name} holds port {case.settings.ollama_port} instead of {_name(case)}"
        shown = Evidence("docker ps", f"{box.name} ({box.image}) publishes port {case.settings.ollama_port}")
        stop = Step(f"Stop it: `{{name}}` and {_name(case)} cannot both run.", "docker stop {name}")
        steps = (stop, loop.allowed(case, _START))
        return Finding(summary, (shown, port.listens(case)), values={"name": box.name}, steps=steps)
    stray = next((p for p in others if _by_hand(case, p)), None)
    if stray is None or case.facts is None or case.facts.process is None:
        return None
    summary = (
        f"a second Ollama, pid {stray.pid}{f' of user {stray.user}' if stray.user else ''}, runs beside {_name(case)}"
    )
    values, end = _values(stray), _end(case, stray)[:1]
    return Finding(summary, (_row(stray),), Confidence.LIKELY, values, Severity.WARNING, end)


def _wanted(case: HostEvidence) -> Evidence | None:
    """The server's, or Docker's, own complaint that it could not have the port."""
    hit = port.last_words(case, "port-taken", "bind-permission")
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
    """Whether nothing that was read tells which process is ours."""
    return facts.process is None and "process" in facts.unread


def _looked_after(case: HostEvidence) -> bool:
    """Whether there is a first one: a host that is only observed may run its server in any way, as a snap does."""
    facts = case.facts
    if case.settings.ollama_managed or facts is None or facts.process is not None:
        return True
    return case.unit.get("LoadState") == "loaded" or facts.container is not None


def _by_hand(case: HostEvidence, process: Running) -> bool:
    """Beside a service: out of a login session; beside a container: the vendor's unit as well."""
    if case.settings.ollama_runtime == "process":
        return False
    beside = case.settings.ollama_runtime == "docker" and process.cgroup.endswith("/ollama.service")
    return beside or "/user.slice/" in process.cgroup


def _other_container(case: HostEvidence) -> DockerContainer | None:
    mine = port.container(case)
    if port.stranger(case) is None:
        return None
    found = (c for c in case.traces.containers or () if c.serves and c is not mine and port.publishes(case, c))
    return next(found, None)


def _name(case: HostEvidence) -> str:
    return {"systemd": "ollama.service", "docker": "the container ollama", "process": "our own"}[
        case.settings.ollama_runtime
    ]


def _unit(process: Running) -> str:
    last = process.cgroup.rsplit("/", 1)[-1]
    return last if last.endswith(".service") and "/user.slice/" not in process.cgroup else ""


def _row(process: Running) -> Evidence:
    return Evidence("ps", f"{process.pid} {process.user} {process.command} in {process.cgroup or '?'}")


def _values(process: Running) -> dict[str, str]:
    return {"pid": str(process.pid), "owner": _unit(process) or process.user}


def _end(case: HostEvidence, process: Running) -> tuple[Step, ...]:
    if _unit(process):
        stop = Step("Stop the unit {owner}, which runs it, now and at boot.", "sudo systemctl disable --now {owner}")
        return (stop, loop.allowed(case, _START))
    return (_END, loop.allowed(case, _START))


_END = Step(
    "End the other one, pid {pid}; move its settings into the inventory.",
    "sudo kill {pid}",
    Automate.ASK,
    "stop-process",
)
_START = Step("Start the one that is looked after.", "{start}", Automate.ASK, "start")
_OTHER_PORT = Step(
    "Give Ollama another port: `ollama_port` in the inventory, then apply.", "{up}", Automate.ASK, "apply"
)

_SEE = Step("See who holds the port, and stop {owner} if it should not.", "sudo ss -ltnp 'sport = :{port}'")
_FREE = Step("Once the port is free, start the server.", "{start}", Automate.ASK, "start")
_MOVE = Step("Or give Ollama another port: `ollama_port` in the inventory, then `up`.", "{up}")

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
        explains=("port-taken", "service-crash-looping", "service-not-running", "wrong-service-on-port"),
        needs=("ss.txt", "ps.txt"),
    ),
)
