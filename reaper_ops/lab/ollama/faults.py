"""Faults on demand: a JSON file of ``{name: {option: value}}``, read again for every question."""

from __future__ import annotations

import json
import os
from typing import Any

FAULTS = {
    "refuse": "the process runs, but its port refuses connections",
    "drop": "the port accepts a connection and never sends a byte",
    "hang": "the API answers, but generate and chat never do",
    "slow-start": "the port is open at once, HTTP is silent for `seconds` (10), as during GPU discovery",
    "crash": "the server exits at its start with status 1",
    "not-ollama": "another service answers on the port",
    "http-500": "every API call answers 500",
    "503": "the queue is full: requests for a model answer 503",
    "stream-error": "an error line after `after` (3) lines inside a 200 stream",
    "oom": "the kernel's killer takes the model's process while it loads (signal: killed)",
    "oom-old": "the refusal of servers up to 0.24: model requires more system memory",
    "oom-malloc": "the model's process has a memory limit for real, its allocation fails, it exits by itself",
    "oom-kill": "the model's process is killed by SIGKILL in mid-answer, after `after` (4) words",
    "memory": "a load takes `bytes` (64M) for real, so that a real limit of the host is hit",
    "cpu-fallback": "a GPU is there, but models run on the CPU",
    "partial-offload": "half of a model is on the GPU, the rest on the CPU",
    "disk-full": "writing a blob fails with no space left on device after `after_bytes` (65536)",
    "digest-mismatch": "bytes are damaged on their way to the disk",
    "stall": "a download stops moving after `after_bytes` (65536), without an error",
}


class Faults:
    def __init__(self, path: str) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._found: dict[str, dict[str, Any]] = {}

    def current(self) -> dict[str, dict[str, Any]]:
        """What is switched on now; a file that cannot be read as JSON counts as none."""
        if not self._path:
            return {}
        try:
            status = os.stat(self._path)
        except OSError:
            return {}
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._stamp, self._found = stamp, _read(self._path)
        return self._found

    def on(self, name: str) -> bool:
        return name in self.current()

    def option(self, name: str, key: str, default: int) -> int:
        value = self.current().get(name, {}).get(key, default)
        return value if isinstance(value, int) else default


def _read(path: str) -> dict[str, dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: options if isinstance(options, dict) else {} for name, options in found.items() if name in FAULTS}
