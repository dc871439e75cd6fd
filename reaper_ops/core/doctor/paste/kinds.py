"""All kinds of blocks: the first whose form fits the line, or the command, has it."""

from __future__ import annotations

from reaper_ops.core.doctor.paste import docker, host, http, logs, nvidia, ollama, sockets, systemd

KINDS = (
    *http.KINDS,
    *ollama.KINDS,
    *systemd.KINDS,
    *docker.KINDS,
    *nvidia.KINDS,
    *sockets.KINDS,
    *host.KINDS,
    *logs.KINDS,
)
