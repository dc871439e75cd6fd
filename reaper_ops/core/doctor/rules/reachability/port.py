"""The server's port as the host itself shows it: who listens where, and what was written to reach it."""

from __future__ import annotations

import ipaddress

from reaper_ops.core import url as base_url
from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.rules.case import HostEvidence, once
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.facts.traces import DockerContainer, Listener, Running
from reaper_ops.core.health.probe import went_well
from reaper_ops.core.health.report import Evidence
from reaper_ops.errors import ReaperError

PROXIES = frozenset({"docker-proxy", "dockerd", "rootlesskit", "rootlessport", "conmon", "pasta", "slirp4netns"})
WIDE = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared, not bound


def target(case: HostEvidence) -> base_url.BaseUrl | None:
    """What a client dials for the URL that was written."""
    try:
        return base_url.parse(case.seen.url)
    except ReaperError:
        return None


def remote(case: HostEvidence) -> bool:
    written = target(case)
    return written is not None and not written.is_loopback


def meant(case: HostEvidence) -> bool:
    """From outside, and at a port that was written or is Ollama's own: not one that a scheme brought in."""
    written = target(case)
    return written is not None and not written.is_loopback and not written.assumed_port


def failed(case: HostEvidence, *errors: str) -> Exchange | None:
    """The exchange that ended the probe, when it failed in one of these ways."""
    exchange = case.seen.failed
    return exchange if exchange is not None and exchange.error in errors else None


def at_home(case: HostEvidence) -> Exchange | None:
    """An answer that the host itself had from its own server."""
    asked = case.facts.exchanges if case.facts else ()
    return next((e for e in asked if e.path == "/api/version" and went_well(e) and '"version"' in e.body), None)


@once
def holders(case: HostEvidence) -> tuple[Listener, ...]:
    """Who listens on our port at an address that is ours, too."""
    ours = _addresses(case)
    return tuple(
        listener
        for listener in case.traces.listeners or ()
        if listener.port == case.settings.ollama_port and (listener.address in WIDE | ours or ours & WIDE)
    )


def _addresses(case: HostEvidence) -> set[str]:
    found = {case.settings.ollama_bind}
    written = case.environ.get("OLLAMA_HOST", "")
    if written and case.settings.ollama_runtime != "docker":
        found.add("*" if wide(written) else _host(written))
    return found


def wide(written: str) -> bool:
    """Whether OLLAMA_HOST means every address."""
    return any(mark in written for mark in ("0.0.0.0", "[::]"))  # noqa: S104 - compared, not bound


def bracketed(host: str) -> str:
    """As it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _host(written: str) -> str:
    try:
        return base_url.parse(written).host
    except ReaperError:
        return written


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def reach(case: HostEvidence) -> str:
    """``loopback``, ``wide``, ``address`` for one other address, or empty when nothing listens or was read."""
    addresses = [listener.address for listener in holders(case)]
    if not addresses:
        return ""
    if WIDE & set(addresses):
        return "wide"
    return "loopback" if all(map(is_loopback, addresses)) else "address"


def listens(case: HostEvidence) -> Evidence:
    """Who listens on our port, as a line of evidence."""
    rows = [f"{f'[{h.address}]' if ':' in h.address else h.address}:{h.port} {who(h)}".rstrip() for h in holders(case)]
    return Evidence("ss -ltnp", "; ".join(rows) or f"nothing listens on port {case.settings.ollama_port}")


def who(listener: Listener) -> str:
    if listener.command is None:
        return ""
    return f"{listener.command} (pid {listener.pid})" if listener.pid else listener.command


def server(case: HostEvidence) -> Running | None:
    """Our server in the list of processes."""
    pid = case.facts.process.pid if case.facts and case.facts.process else None
    return next((p for p in case.traces.processes or () if p.pid == pid), None)


def age(case: HostEvidence) -> int | None:
    """Seconds since the server was started."""
    found = server(case)
    return found.age if found else None


def container(case: HostEvidence) -> DockerContainer | None:
    """Our container, with its ports and mounts."""
    facts = case.facts
    id_ = facts.container.id if facts and facts.container else ""
    boxes = case.traces.containers or ()
    return next((c for c in boxes if (c.id == id_ if id_ else c.name == places.CONTAINER)), None)


def stranger(case: HostEvidence) -> Listener | None:
    """Who holds our port and is not our server; without root the owner is unknown and counts when ours is down."""
    own = case.facts.process.pid if case.facts and case.facts.process else None
    docker = case.settings.ollama_runtime == "docker"
    for listener in holders(case):
        mine = listener.pid == own if listener.pid is not None else own is not None
        proxied = docker and listener.command in PROXIES and publishes(case, container(case))
        if not (mine or proxied or (docker and own is not None and listener.command == "ollama")):
            return listener
    return None


def publishes(case: HostEvidence, box: DockerContainer | None) -> bool:
    """Whether our port of the host leads to this container."""
    wanted = case.settings.ollama_port
    up = box is not None and box.state in {"running", "paused"}
    return box is not None and up and any(p.host_port == wanted for p in box.ports)


def paused(case: HostEvidence) -> bool:
    """Docker keeps the port of a paused container open, and nothing answers."""
    found = case.facts.container if case.facts else None
    return case.settings.ollama_runtime == "docker" and found is not None and found.state == "paused"


@once
def start_lines(case: HostEvidence) -> tuple[Hit, ...]:
    """Lines with a meaning since the server last began to listen; of its last try where it never did."""
    found: list[Hit] = []
    for hit in signatures.hits("log", case.facts.journal if case.facts else None):
        found = [] if hit.signature.id == "listening" else [*found, hit]
    return tuple(found)


def fatal_line(case: HostEvidence, *names: str) -> Hit | None:
    """What ended the last start: the last such line after which the server did not listen."""
    return next((hit for hit in reversed(start_lines(case)) if hit.signature.id in names), None)


def properties(case: HostEvidence, *words: str) -> Evidence:
    """Properties of the unit as a line of evidence."""
    return Evidence("systemctl show", " ".join(f"{word}={case.unit[word]}" for word in words if word in case.unit))
