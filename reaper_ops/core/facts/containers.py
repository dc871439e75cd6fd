"""Containers that run Ollama or talk to one, and what kind of engine runs them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts import docker
from reaper_ops.core.facts.answers import Answers, Ask, as_json, mapping, number, text, whole
from reaper_ops.core.facts.traces import ContainerMount, DockerContainer, Published
from reaper_ops.core.inventory.settings import Settings

SERVER_IMAGE = re.compile(r"(?:^|/)ollama[^/:@]*(?:[:@]|$)")
SERVER_WORDS = re.compile(r"(?:^|[/ ])ollama(?: serve|$)")
TALKS = re.compile(r"ollama|11434", re.I)


def asks(settings: Settings) -> list[Ask]:
    found: list[Ask] = [
        {"id": "containers", "kind": "containers"},
        {
            "id": "docker-path",
            "kind": "command",
            "argv": ["sh", "-c", "readlink -f $(command -v docker) $(command -v dockerd)"],
        },
    ]
    if settings.ollama_runtime == "docker":
        inside = ["docker", "exec", places.CONTAINER, "nvidia-smi", "-L"]
        return (
            found
            if settings.gpu_vendor == "none"
            else [*found, {"id": "gpu-inside", "kind": "command", "argv": inside}]
        )
    return [*found, {"id": "docker-info", "kind": "command", "argv": ["docker", "info", "--format", "{{json .}}"]}]


def parse(answers: Answers) -> dict[str, Any]:
    return {
        "containers": containers(answers),
        "docker_kind": kind(answers),
        "gpu_in_container": gpu_inside(answers),
    }


def gpu_inside(answers: Answers) -> str | None:
    """What the tool said, on both streams; None where the container does not run."""
    command, ours = answers.command("gpu-inside"), docker.parse_container(answers)
    if command is None or command.missing or command.timed_out or ours is None or ours.state != "running":
        return None
    return command.out + command.err


def kind(answers: Answers) -> str:
    """Empty where there is no engine."""
    said = answers.command("docker-info")
    info = mapping(as_json(said.out if said else None))
    tool = text(answers.get("containers").get("tool"))
    if tool in {"podman", "kubectl"}:
        return "podman" if tool == "podman" else "kubernetes"
    if "/snap/" in (answers.out("docker-path") or "") or (text(info.get("DockerRootDir")) or "").startswith(
        "/var/snap/"
    ):
        return "snap"
    if "Docker Desktop" in (text(info.get("OperatingSystem")) or ""):
        return "desktop"
    options = info.get("SecurityOptions")
    if any("rootless" in str(option) for option in (options if isinstance(options, list) else ())):
        return "rootless"
    return "engine" if text(info.get("ServerVersion")) else ""


def containers(answers: Answers) -> tuple[DockerContainer, ...] | None:
    """None when an engine is there and did not answer."""
    command = answers.command("containers")
    if command is None or command.missing:
        return () if command is not None else None
    rows = as_json(answers.out("containers"))
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        return None
    return tuple(one for one in map(_container, map(mapping, rows)) if one is not None)


def _container(row: Mapping[str, Any]) -> DockerContainer | None:
    config, host, state = (mapping(row.get(name)) for name in ("Config", "HostConfig", "State"))
    id_, status = text(row.get("Id")), text(state.get("Status"))
    if id_ is None and not status:
        return None
    health = mapping(state.get("Health"))
    return DockerContainer(
        id=id_ or "",
        name=(text(row.get("Name")) or "").lstrip("/"),
        image=text(config.get("Image")) or "",
        state=status or "",
        environ=_environ(docker.strings(config.get("Env"))),
        serves=serves(row),
        oom_killed=state.get("OOMKilled") is True,
        exit_code=whole(state.get("ExitCode")),
        restarts=whole(row.get("RestartCount")),
        error=text(state.get("Error")) or "",
        health=text(health.get("Status")),
        health_test=docker.strings(mapping(config.get("Healthcheck")).get("Test")),
        health_log="\n".join(text(one.get("Output")) or "" for one in _rows(health.get("Log"))),
        memory_limit=whole(host.get("Memory")) or None,
        cpus=_cpus(host),
        ports=published(row),
        mounts=tuple(_mount(one) for one in _rows(row.get("Mounts"))),
        gpu=docker.gpu(host),
        groups=docker.strings(host.get("GroupAdd")),
        network={"default": "bridge"}.get(mode := text(host.get("NetworkMode")) or "", mode),
        extra_hosts=docker.strings(host.get("ExtraHosts")),
        user=text(config.get("User")) or "",
    )


def serves(row: Mapping[str, Any]) -> bool:
    """Whether it is a server, by its image's name or by what it starts."""
    config = mapping(row.get("Config"))
    words = [text(row.get("Path")) or "", *docker.strings(row.get("Args"))]
    started = " ".join(words) if any(words) else " ".join(docker.strings(config.get("Cmd")))
    return bool(SERVER_IMAGE.search(text(config.get("Image")) or "") or SERVER_WORDS.search(started))


def _environ(items: tuple[str, ...]) -> dict[str, str]:
    pairs = (item.partition("=") for item in items)
    return {name: value for name, _, value in pairs if docker.SAFE.search(name) or TALKS.search(f"{name}={value}")}


def _cpus(host: Mapping[str, Any]) -> float | None:
    nano, quota, period = (whole(host.get(name)) or 0 for name in ("NanoCpus", "CpuQuota", "CpuPeriod"))
    return nano / 1e9 if nano > 0 else quota / (period or 100_000) if quota > 0 else None


def published(row: Mapping[str, Any]) -> tuple[Published, ...]:
    """As they are, or as they were asked for where the container does not run."""
    live, asked = (
        mapping(mapping(row.get(a)).get(b)) for a, b in (("NetworkSettings", "Ports"), ("HostConfig", "PortBindings"))
    )
    found = []
    for name, bindings in (live or asked).items():
        for one in _rows(bindings):
            port, host_port = number(str(name).partition("/")[0]), number(text(one.get("HostPort")))
            address = text(one.get("HostIp")) or ""
            if port is not None and host_port is not None:
                found.append(Published(port, "" if address == "0.0.0.0" else address, host_port))  # noqa: S104 - compared
    return tuple(dict.fromkeys(found))


def _mount(one: Mapping[str, Any]) -> ContainerMount:
    given = {name: text(one.get(name)) or "" for name in ("Type", "Name", "Source", "Destination")}
    return ContainerMount(given["Type"], given["Name"] or given["Source"], given["Destination"])


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
