"""Nothing listens: what the unit, the container or the process list says about it."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core import url as base_url
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict, excerpt, exchange_evidence
from reaper_ops.core.facts import docker
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.errors import ReaperError

CONTAINER_STATES = {
    "exited": "the container is stopped",
    "created": "the container was created, but never started",
}


def down(case: HostEvidence) -> Verdict | None:
    """connection-refused with its cause, when the host's own evidence is there."""
    if case.facts is None:
        return None
    by_runtime = {"systemd": _unit, "docker": _container, "process": _process}
    return by_runtime[case.settings.ollama_runtime](case)


def _refused(case: HostEvidence, cause: str | None, summary: str, shown: Evidence, by_hand: str) -> Verdict:
    evidence = tuple(exchange_evidence(e) for e in case.seen.exchanges if e is case.seen.failed)
    complaint = case.log.complaint
    if complaint is not None and cause in complaint.signature.causes:
        shown_too: tuple[Evidence, ...] = (Evidence("server log", excerpt(complaint.line, 240)),)
    else:
        shown_too = ()
    return Verdict(State.CONNECTION_REFUSED, summary, (*evidence, shown, *shown_too), cause, case.repair(by_hand))


def _unit(case: HostEvidence) -> Verdict | None:
    facts = case.facts
    assert facts is not None
    if facts.unit is None:
        return None
    unit = facts.unit.properties
    words = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts")
    shown = Evidence("systemctl show", " ".join(f"{word}={unit[word]}" for word in words if word in unit))
    if not facts.unit.exists:
        summary = "Ollama is not installed: there is no unit ollama.service"
        return _refused(case, "service-not-installed", summary, shown, "install Ollama")
    if _loops(unit.get("SubState", ""), unit.get("NRestarts", "0"), facts.unit.active):
        return _crashing(case, shown)
    if facts.unit.active:
        return _listens_elsewhere(case, shown)
    if unit.get("Result") in {"exit-code", "core-dump", "start-limit-hit"} or unit.get("ActiveState") == "failed":
        return _crashing(case, shown)
    enabled = "" if facts.unit.enabled else " and does not start at boot"
    summary = f"the service is stopped{enabled}"
    return _refused(case, "service-not-running", summary, shown, "sudo systemctl enable --now ollama")


def _loops(sub: str, restarts: str, active: bool) -> bool:
    return sub == "auto-restart" or (active and restarts.isdigit() and int(restarts) >= 3)


def _crashing(case: HostEvidence, shown: Evidence) -> Verdict:
    complaint = case.log.complaint
    cause = complaint.signature.causes[0] if complaint else "service-crash-looping"
    why = f": {excerpt(complaint.line.split(']: ')[-1], 120)}" if complaint else ""
    verdict = _refused(case, cause, f"the service dies at start, again and again{why}", shown, "")
    return replace(verdict, next_step=case.look())


def _listens_elsewhere(case: HostEvidence, shown: Evidence) -> Verdict | None:
    """The server runs, yet nothing listens where it was asked: another address or port, or a reject rule."""
    written = _remote(case)
    if written and binds_loopback(case):
        summary = "the server listens on its loopback address only, and was asked from outside"
        return _refused(case, "listening-loopback-only", summary, shown, "set OLLAMA_HOST=0.0.0.0 in a drop-in")
    summary = "the service runs, but nothing listens at this address and port, or a firewall resets"
    return replace(_refused(case, None, summary, shown, ""), next_step=case.look())


def _remote(case: HostEvidence) -> bool:
    try:
        return not base_url.parse(case.seen.url).is_loopback
    except ReaperError:
        return False


def binds_loopback(case: HostEvidence) -> bool:
    facts = case.facts
    environ = (facts.process.environ if facts and facts.process else None) or (
        facts.container.environ if facts and facts.container else {}
    )
    try:
        return base_url.parse(str(environ.get("OLLAMA_HOST", "")) or "127.0.0.1").is_loopback and (
            "0.0.0.0" not in environ.get("OLLAMA_HOST", "")  # noqa: S104 - compared, not bound
        )
    except ReaperError:
        return False


def _container(case: HostEvidence) -> Verdict | None:
    facts = case.facts
    assert facts is not None
    if facts.container is not None:
        shown = Evidence("docker inspect", f"State {facts.container.state}, image {facts.container.image}")
        if facts.container.state == "running":
            summary = "the container runs, but its port is not reachable here"
            return _refused(case, "container-port-not-published", summary, shown, "docker port ollama")
        state = facts.container.state
        summary = CONTAINER_STATES.get(state, f"the container is {state or 'not running'}")
        return _refused(case, "service-not-running", summary, shown, "docker start ollama")
    if docker.is_late(facts.unread):
        shown = Evidence("docker", f"{docker.LATE}: whether the container is there or runs is not known")
        look = case.on_host("sudo journalctl -u docker -n 100 --no-pager")
        return replace(_refused(case, None, docker.LATE, shown, ""), next_step=look)
    if facts.docker is None or facts.docker.engine is None:
        if "docker-version" in facts.unread:
            return None
        shown = Evidence("docker version", "no Docker engine on this host")
        return _refused(case, "service-not-installed", "Docker is not installed", shown, "install Docker")
    if not facts.docker.running:
        if "docker-version" in facts.unread:
            return None
        shown = Evidence("docker version", "the engine does not answer")
        summary = "the Docker engine is not running"
        return _refused(case, "service-not-running", summary, shown, "sudo systemctl start docker")
    if "container" in facts.unread:
        return None
    shown = Evidence("docker ps", "there is no container of ours")
    return _refused(case, "service-not-installed", "there is no Ollama container", shown, "docker ps -a")


def _process(case: HostEvidence) -> Verdict | None:
    facts = case.facts
    assert facts is not None
    if facts.process is not None:
        shown = Evidence("process list", f"pid {facts.process.pid} runs {facts.process.exe}")
        return _listens_elsewhere(case, shown)
    if not facts.releases:
        shown = Evidence("releases", "no Ollama release is installed for this user")
        return _refused(case, "service-not-installed", "Ollama is not installed for this user", shown, "install Ollama")
    complaint = case.log.complaint
    cause = complaint.signature.causes[0] if complaint and not case.log.listening else "service-not-running"
    shown = Evidence("process list", "no Ollama server runs")
    return _refused(case, cause, "the server is not running", shown, "ollama serve")


def running(case: HostEvidence) -> Evidence | None:
    """That the server runs, as its host shows it."""
    facts = case.facts
    if facts is None:
        return None
    if facts.unit is not None and facts.unit.active:
        return Evidence("systemctl show", "ActiveState=active")
    if facts.container is not None and facts.container.state == "running":
        return Evidence("docker inspect", "State running")
    if facts.process is not None:
        return Evidence("process list", f"pid {facts.process.pid}")
    return None
