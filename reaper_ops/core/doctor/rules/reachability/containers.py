"""Addresses and ports inside and outside of containers."""

from __future__ import annotations

import re

from reaper_ops.core import url as base_url
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, heard
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.traces import DockerContainer
from reaper_ops.core.health.report import Evidence
from reaper_ops.errors import ReaperError

GATEWAY = "host.docker.internal"


def container_to_host_loopback(case: HostEvidence) -> Finding | None:
    """A container asks its own loopback address for an Ollama that runs outside of it.

    Inside a container, localhost is the container. On Linux the name host.docker.internal exists only with
    `extra_hosts: ["host.docker.internal:host-gateway"]`, and it leads to the address of the bridge, where a server
    that listens on 127.0.0.1 refuses.

    Signals:
    - Open WebUI: `Connection error: Cannot connect to host localhost:11434`
    - `Cannot connect to host host.docker.internal:11434 ssl:default [Connect call failed ('172.17.0.1', 11434)]`

    Not to be confused with:
    - a client on the host's network, or in the network of the server's container: localhost is right there.
    - Docker Desktop: host.docker.internal always exists.

    Sources:
    - https://github.com/open-webui/open-webui/issues/209
    - https://github.com/open-webui/open-webui/issues/10833
    """
    if case.traces.docker_kind == "desktop":
        return None
    for client in case.traces.containers or ():
        if client.serves or client.state not in {"running", "restarting"}:
            continue
        if client.network == "host" or client.network.startswith("container:"):
            continue
        for name, written in _asked(client):
            why = _lost(case, client, written)
            if why:
                shown = Evidence("docker inspect", f"{client.name}: {name}={written}, network {client.network or '?'}")
                more = (port.listens(case),) if port.reach(case) else ()
                summary = f"the container {client.name} {why}"
                return Finding(summary, (shown, *more), Confidence.LIKELY, _right(case), steps=_way(case))
    return None


def container_binds_loopback(case: HostEvidence) -> Finding | None:
    """Inside its container the server listens on loopback only.

    The image sets OLLAMA_HOST=0.0.0.0:11434; something overrode it. The port is published, so Docker accepts the
    connection and then finds nobody on the container's address.

    Signals:
    - on the host: `curl: (56) Recv failure: Connection reset by peer` or `(52) Empty reply from server`
    - from other hosts: connection refused

    Not to be confused with:
    - container-port-not-published: nothing listens on the host.
    - a server that is starting: accepted, then silence, no reset.

    Sources:
    - Dockerfile of Ollama, ENV OLLAMA_HOST
    """
    failed, box = port.failed(case, "reset", "closed", "refused"), port.container(case)
    if failed is None or case.settings.ollama_runtime != "docker" or (box is not None and box.network == "host"):
        return None
    facts = case.facts
    if facts is None or facts.container is None or facts.container.state != "running":
        return None
    said = facts.container.environ.get("OLLAMA_HOST", "")
    heard_at = case.log.listening.groups["addr"] if case.log.listening else ""
    inside = port.is_loopback(_address(said)) if said else False
    logged = port.is_loopback(heard_at.rpartition(":")[0].strip("[]"))
    if not (inside or logged):
        return None
    found = [Evidence("docker inspect", f"OLLAMA_HOST={said}")] if inside else []
    if logged and case.log.listening:
        found.append(Evidence("docker logs", excerpt(case.log.listening.line, 160)))
    summary = f"inside its container the server listens on {heard_at or said}, which nobody outside can reach"
    return Finding(summary, (heard(failed), *found))


def container_port_not_published(case: HostEvidence) -> Finding | None:
    """The container runs, and its port is not published where it is asked for.

    `-p` is missing, or came after the image's name and so became an argument of `ollama`, or publishes another port.

    Signals:
    - connection refused from the host; `docker exec ollama ollama list` works

    Not to be confused with:
    - listening-loopback-only: it is published, on 127.0.0.1.
    - container-binds-loopback: it is published, and nobody listens behind it.

    Sources:
    - https://github.com/ollama/ollama/issues/1671
    """
    failed, box, facts = port.failed(case, "refused"), port.container(case), case.facts
    if failed is None or case.settings.ollama_runtime != "docker" or facts is None or facts.container is None:
        return None
    if facts.container.state != "running":
        return None
    if box is None:
        verdict = case.blamed("container-port-not-published")
        return Finding(verdict.summary, verdict.evidence, Confidence.POSSIBLE) if verdict else None
    wanted = case.settings.ollama_port
    if box.network == "host" or any(p.host_port == wanted for p in box.ports):
        return None
    ports = ", ".join(f"{p.address or '0.0.0.0'}:{p.host_port}->{p.port}" for p in box.ports)  # noqa: S104 - shown
    shown = Evidence("docker ps", f"{box.name}: ports {ports or 'none'}")
    summary = f"the container runs, and port {wanted} of the host does not lead to it"
    return Finding(summary, (heard(failed), shown))


def _asked(client: DockerContainer) -> list[tuple[str, str]]:
    names = [n for n in client.environ if re.search(r"OLLAMA\w{0,64}(URLS?|HOST|BASE)$", n)]
    return [(name, url) for name in names for url in re.split(r"[;,]", client.environ[name]) if url.strip()]


def _address(written: str) -> str:
    try:
        return base_url.parse(written).host if not port.wide(written) else "0.0.0.0"  # noqa: S104 - compared
    except ReaperError:
        return ""


def _lost(case: HostEvidence, client: DockerContainer, written: str) -> str:
    """Why this container cannot reach the host's server by that URL; empty when it can, or may."""
    if written.startswith("/") or client.image.endswith((":ollama", "-ollama")):
        return ""
    host = _address(written)
    if port.is_loopback(host):
        return f"asks {written} for Ollama, which is the container itself"
    if host != GATEWAY or case.traces.docker_kind not in {"engine", "snap"}:
        return ""
    if not any(line.startswith((f"{GATEWAY}:", f"{GATEWAY}=")) for line in client.extra_hosts):
        return f"asks {GATEWAY}, a name that does not exist in it"
    if port.reach(case) == "loopback":
        return f"asks {GATEWAY}, and the server listens on the host's loopback address only"
    return ""


def _beside(case: HostEvidence) -> DockerContainer | None:
    """Our server's container in a network that a client can join."""
    box = port.container(case)
    return box if box is not None and box.network not in {"", "host", "bridge", "default"} else None


def _right(case: HostEvidence) -> dict[str, str]:
    box = _beside(case)
    if box is not None:
        return {"right": f"http://{box.name}:11434", "network": box.network}
    return {"right": f"http://{GATEWAY}:{case.settings.ollama_port}"}


def _way(case: HostEvidence) -> tuple[Step, ...]:
    if _beside(case) is not None:
        return (_JOIN,)
    return (_GATEWAY,) if port.reach(case) == "wide" else (_GATEWAY, _BRIDGE)


_JOIN = Step("In the client's Compose file: join the network {network}, and ask {right}.")
_GATEWAY = Step(
    "In the client's Compose file: `extra_hosts: ['host.docker.internal:host-gateway']`, and the URL {right}; "
    "`network_mode: host` with http://127.0.0.1 works, too."
)
_BRIDGE = Step(
    "The server must then listen on the bridge, too: `ollama_bind: 172.17.0.1` (safer than 0.0.0.0) with "
    "`exposure: open` in the inventory, then `up`.",
    "{up}",
)
_APPLY = Step("Recreate the container as the inventory wishes.", "{up}", Automate.ASK, "apply")

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
