"""Addresses and ports inside and outside containers."""

from __future__ import annotations

import re

from reaper_ops.core import url as base_url
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.traces import DockerContainer
from reaper_ops.core.health.report import Evidence
from reaper_ops.errors import ReaperError

GATEWAY = "host.docker.internal"


def container_to_host_loopback(case: HostEvidence) -> Finding | None:
    """A client in a container looks for Ollama at an address that does not lead out of the container.

    Inside a container, localhost is the container itself. On Linux, the name host.docker.internal exists only with
    `extra_hosts: ["host.docker.internal:host-gateway"]`. It leads to the address of the bridge, where a server that
    listens on 127.0.0.1 does not answer.

    Signals:
    - Open WebUI: `Connection error: Cannot connect to host localhost:11434`
    - `Cannot connect to host host.docker.internal:11434 ssl:default [Connect call failed ('172.17.0.1', 11434)]`

    Not to be confused with:
    - a client on the host's network, or in the network of the server's container: there, localhost is right.
    - Docker Desktop: host.docker.internal always exists.

    Sources:
    - https://github.com/open-webui/open-webui/issues/209
    - https://github.com/open-webui/open-webui/issues/10833
    """
    if case.traces.docker_kind == "desktop":
        return None
    for client in case.traces.containers or ():
        if client.serves or client.state not in {"running", "restarting", ""}:
            continue
        if client.network == "host" or client.network.startswith("container:"):
            continue
        for name, written in _asked(client):
            why = _unreachable(case, client, written)
            if why:
                network = f", network {client.network}" if client.network else ""
                shown = Evidence("docker inspect", f"{client.name}: {name}={written}{network}")
                more = (port.listens(case),) if port.reach(case) else ()
                summary, values = (
                    f"the container {client.name} {why}",
                    {**_right(case), "name": client.name, "client_variable": name},
                )
                return Finding(summary, (shown, *more), Confidence.LIKELY, values, steps=_way(case, client, written))
    return None


def container_binds_loopback(case: HostEvidence) -> Finding | None:
    """Inside its container, the server listens on loopback only.

    The image sets OLLAMA_HOST=0.0.0.0:11434, and something overrode it. The port is published, so Docker accepts the
    connection, and then nothing listens at the container's address.

    Signals:
    - on the host: `curl: (56) Recv failure: Connection reset by peer` or `(52) Empty reply from server`
    - from other hosts: connection refused

    Not to be confused with:
    - container-port-not-published: nothing listens on the host.
    - starting-up: the connection is accepted and stays silent, without a reset.

    Sources:
    - Dockerfile of Ollama, ENV OLLAMA_HOST
    """
    failed, box = port.failed(case, "reset", "closed", "refused"), port.container(case)
    if failed is None or case.settings.ollama_runtime != "docker" or (box is not None and box.network == "host"):
        return None
    facts = case.facts
    if facts is None or facts.container is None or facts.container.state != "running":
        return None
    configured = facts.container.environ.get("OLLAMA_HOST", "")
    listening = case.log.listening.groups["addr"] if case.log.listening else ""
    inside = port.is_loopback(_address(configured)) if configured else False
    logged = port.is_loopback(listening.rpartition(":")[0].strip("[]"))
    if not (inside or logged):
        return None
    found = [Evidence("docker inspect", f"OLLAMA_HOST={configured}")] if inside else []
    if logged and case.log.listening:
        found.append(Evidence("docker logs", excerpt(case.log.listening.line, 160)))
    address = listening or configured
    summary = f"inside its container, the server listens on {address} only, which cannot be reached from outside"
    return Finding(summary, (exchange_evidence(failed), *found))


def container_port_not_published(case: HostEvidence) -> Finding | None:
    """The container runs, but does not publish its port where clients look for it.

    `-p` is missing, publishes another port, or came after the image's name and so became an argument of `ollama`.

    Signals:
    - connection refused from the host; `docker exec ollama ollama list` works

    Not to be confused with:
    - listening-loopback-only: it is published, on 127.0.0.1.
    - container-binds-loopback: it is published, and nothing listens behind it.

    Sources:
    - https://github.com/ollama/ollama/issues/1671
    """
    failed, box, facts = port.failed(case, "refused"), port.container(case), case.facts
    if failed is None or case.settings.ollama_runtime != "docker" or facts is None or facts.container is None:
        return None
    if facts.container.state != "running":
        return None
    if box is None:
        verdict = case.verdict_of("container-port-not-published")
        return Finding(verdict.summary, verdict.evidence, Confidence.POSSIBLE) if verdict else None
    wanted = case.settings.ollama_port
    if box.network == "host" or any(p.host_port == wanted for p in box.ports):
        return None
    ports = ", ".join(f"{p.address or '0.0.0.0'}:{p.host_port}->{p.port}" for p in box.ports)  # noqa: S104 - shown
    shown = Evidence("docker ps", f"{box.name}: ports {ports or 'none'}")
    summary = f"the container runs, but does not publish port {wanted} of the host"
    return Finding(summary, (exchange_evidence(failed), shown))


def _asked(client: DockerContainer) -> list[tuple[str, str]]:
    names = [n for n in client.environ if re.search(r"OLLAMA\w{0,64}(URLS?|HOST|BASE)$", n)]
    return [(name, url) for name in names for url in re.split(r"[;,]", client.environ[name]) if url.strip()]


def _address(written: str) -> str:
    try:
        return base_url.parse(written).host if not port.wide(written) else "0.0.0.0"  # noqa: S104 - compared
    except ReaperError:
        return ""


def _unreachable(case: HostEvidence, client: DockerContainer, written: str) -> str:
    """Why this container cannot reach the host's server by that URL; empty when it can, or may."""
    if written.startswith("/") or client.image.endswith((":ollama", "-ollama")):
        return ""
    host = _address(written)
    if port.is_loopback(host):
        return f"looks for Ollama at {written}, which is the container itself"
    if host != GATEWAY or case.traces.docker_kind not in {"engine", "snap"}:
        return ""
    if not _has_gateway(client):
        return f"looks for Ollama at {GATEWAY}, a name that does not exist in this container"
    if port.reach(case) == "loopback":
        return f"looks for Ollama at {GATEWAY}, but the server listens on the host's loopback address only"
    return ""


def _has_gateway(client: DockerContainer) -> bool:
    return any(line.startswith((f"{GATEWAY}:", f"{GATEWAY}=")) for line in client.extra_hosts)


def _joinable(case: HostEvidence) -> DockerContainer | None:
    """Our server's container in a network that a client can join."""
    box = port.container(case)
    return box if box is not None and box.network not in {"", "host", "bridge", "default"} else None


def _right(case: HostEvidence) -> dict[str, str]:
    box = _joinable(case)
    if box is not None:
        return {"right": f"http://{box.name}:11434", "network": box.network}
    return {"right": f"http://{GATEWAY}:{case.settings.ollama_port}"}


def _way(case: HostEvidence, client: DockerContainer, written: str) -> tuple[Step, ...]:
    if _joinable(case) is not None:
        return (_JOIN,)
    reached = _has_gateway(client) and _address(written) == GATEWAY
    return (*(() if reached else (_GATEWAY,)), *(() if port.reach(case) == "wide" else (_BRIDGE,)))


_JOIN = Step(
    "In the Compose file of {name}, add the network {network} and set {client_variable}={right}; then recreate {name}."
)
_GATEWAY = Step(
    "In the Compose file of {name}, add `extra_hosts: ['host.docker.internal:host-gateway']` and set "
    "{client_variable}={right}; then recreate {name}. (`network_mode: host` with http://127.0.0.1:{port} works, too.)"
)
_BRIDGE = Step(
    "Have the server listen on Docker's bridge: `ollama_bind: 172.17.0.1` (safer than 0.0.0.0) with `exposure: open` "
    "in the inventory, then apply. It then no longer answers at 127.0.0.1.",
    "{up}",
)
_APPLY = Step("Recreate the container as the inventory configures it.", "{up}", Automate.ASK, "apply")

RULES = (
    Rule(
        container_to_host_loopback,
        Severity.ERROR,
        steps=(_GATEWAY, _BRIDGE),
        needs=("docker-inspect.json",),
    ),
    Rule(
        container_binds_loopback,
        Severity.ERROR,
        steps=(_APPLY,),
        explains=("connection-refused", "http-error"),
        needs=("docker-inspect.json", "journal.log"),
    ),
    Rule(
        container_port_not_published,
        Severity.ERROR,
        steps=(_APPLY,),
        explains=("connection-refused",),
        needs=("docker-inspect.json",),
    ),
)
