"""All kinds of blocks: the first whose form fits the line, or the command, has it."""

from __future__ import annotations

from reaper_ops.core.doctor.paste import (
    command,
    docker,
    files,
    hardware,
    host,
    http,
    kubernetes,
    logs,
    network,
    nvidia,
    ollama,
    sockets,
    systemd,
)

KINDS = (
    *command.KINDS,
    *http.KINDS,
    *ollama.KINDS,
    *systemd.KINDS,
    *docker.KINDS,
    *kubernetes.KINDS,
    *nvidia.KINDS,
    *sockets.KINDS,
    *files.KINDS,
    *hardware.KINDS,
    *network.KINDS,
    *host.KINDS,
    *logs.KINDS,
)
