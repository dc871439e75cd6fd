"""The Docker engine, Compose, and our container."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import NO_ANSWER, Answers, Ask, as_json, mapping, text, whole
from reaper_ops.core.facts.model import Container, Docker
from reaper_ops.core.inventory.settings import Settings

HASH_LABEL = "com.docker.compose.config-hash"
PATIENCE = 8
"""Seconds that Docker has for one answer; a host is read in ten, and a call that takes longer is ended."""
LATE = f"Docker did not answer in {PATIENCE} s"
QUESTIONS = (
    *("docker-version", "docker-info", "docker-compose", "container", "container-kept", "container-port"),
    *("volumes", "networks", "images"),
)
"""What the engine or its client answers here and in `holders`: without an answer nothing is known to be absent."""
SAFE = re.compile(r"^(OLLAMA|REAPER_OPS|CUDA|ROCR|HIP|HSA|GGML|LLAMA_ARG|NVIDIA|GPU)_|^(HTTPS?|NO)_PROXY$", re.I)


def asks(settings: Settings) -> list[Ask]:
    if settings.ollama_runtime != "docker":
        return []
    commands = {
        "docker-version": ["docker", "version", "--format", "{{json .}}"],
        "docker-info": ["docker", "info", "--format", "{{json .}}"],
        "docker-compose": ["docker", "compose", "version", "--short"],
        "dockerd": ["dockerd", "--version"],
        "container": ["docker", "inspect", "--type", "container", places.CONTAINER],
    }
    return [
        *patient(commands),
        {"id": "daemon.json", "kind": "file", "path": "/etc/docker/daemon.json"},
    ]


def patient(commands: Mapping[str, list[str]]) -> list[Ask]:
    return [{"id": id_, "kind": "command", "argv": argv, "timeout": PATIENCE} for id_, argv in commands.items()]


def late(answers: Answers) -> dict[str, str]:
    """Questions that Docker left open until its time or that of the whole reading was over."""
    return {
        id_: LATE
        for id_ in QUESTIONS
        if (answer := answers.get(id_)).get("timed_out") or answer.get("error") == NO_ANSWER
    }


def is_late(unread: Mapping[str, str]) -> bool:
    """Whether facts lack something because Docker was too slow; `unread` as in the facts."""
    return LATE in unread.values()


def parse(answers: Answers) -> Docker | None:
    """None when neither the client nor the engine is there."""
    versions, dockerd = answers.command("docker-version"), version_of(answers.out("dockerd"))
    if (versions is None or versions.missing) and dockerd is None:
        return None
    server = mapping(mapping(as_json(versions.out if versions else None)).get("Server"))
    running = text(server.get("Version"))
    info = mapping(as_json((answers.command("docker-info") or versions).out)) if versions else {}
    return Docker(
        engine=running or dockerd,
        compose=version_of(answers.out("docker-compose")),
        running=running is not None,
        runtimes=tuple(sorted(map(str, mapping(info.get("Runtimes"))))),
        cdi_dirs=strings(info.get("CDISpecDirs")),
        daemon_json=answers.content("daemon.json"),
        root=text(info.get("DockerRootDir")) or None,
        cgroup_driver=text(info.get("CgroupDriver")) or None,
        storage=text(info.get("Driver")) or None,
    )


def version_of(output: str | None) -> str | None:
    """`2.26.1-4` of `v2.26.1-4` or of `Docker version 28.2.2, build e6534b4`."""
    match = re.search(r"(?<![\w.])v?([0-9]+\.[0-9]+[\w.+~-]*)", output or "")
    return match[1].rstrip(".,-") if match else None


def parse_container(answers: Answers) -> Container | None:
    return container(answers.out("container"))


def container(output: str | None) -> Container | None:
    rows = as_json(output)
    row = mapping(rows[0]) if isinstance(rows, list) and rows else {}
    state, config = mapping(row.get("State")), mapping(row.get("Config"))
    id_, status = text(row.get("Id")), text(state.get("Status"))
    if id_ is None and not status:
        return None
    return Container(
        id=id_ or "",
        state=status or "",
        image=text(config.get("Image")) or "",
        config_hash=text(mapping(config.get("Labels")).get(HASH_LABEL)) or "",
        oom_killed=state.get("OOMKilled") is True,
        environ=environment(strings(config.get("Env"))),
        health=text(mapping(state.get("Health")).get("Status")),
        restarts=whole(row.get("RestartCount")),
        exit_code=whole(state.get("ExitCode")),
        error=text(state.get("Error")) or "",
        gpu=gpu(mapping(row.get("HostConfig"))),
    )


def environment(items: tuple[str, ...]) -> dict[str, str]:
    pairs = (item.partition("=") for item in items)
    return {name: value for name, _, value in pairs if SAFE.search(name)}


def gpu(host: Mapping[str, Any]) -> tuple[str, ...]:
    """What the container was given: `nvidia`, CDI names, device nodes, or the NVIDIA runtime."""
    found: list[str] = []
    requests = host.get("DeviceRequests")
    for request in map(mapping, requests if isinstance(requests, list) else ()):
        found += strings(request.get("DeviceIDs")) or (text(request.get("Driver")) or "gpu",)
    devices = host.get("Devices")
    for device in map(mapping, devices if isinstance(devices, list) else ()):
        found.append(text(device.get("PathOnHost")) or "")
    if host.get("Runtime") == "nvidia":
        found.append("runtime nvidia")
    return tuple(name for name in found if name)


def strings(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
