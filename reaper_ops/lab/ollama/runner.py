"""One model in memory: a child process found, started, asked and ended as the real server does it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import log

_CAPTURED = (
    "mlx:",
    "MLX:",
    "panic:",
    "fatal error:",
    "error:",
    "Error:",
    "CUDA error",
    "ROCm error",
    "cudaMalloc failed",
    '"ERR"',
    "error loading model",
    "GGML_ASSERT",
    "llama_init_from_model:",
)
_MEMORY = ("out of memory", "cudaMalloc failed", "failed to allocate", "allocation failed", "insufficient memory")
_NAMES = {signal.SIGKILL: "killed", signal.SIGTERM: "terminated", signal.SIGSEGV: "segmentation fault"}


class LoadError(Exception):
    """A load that failed, in the words of the real server, with the status it answers."""

    def __init__(self, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.status = status


class RunnerDied(Exception):
    """The child went away in mid-answer."""


@dataclass(frozen=True)
class RunnerLoad:
    """What shall be in memory."""

    name: str
    digest: str
    weights: str
    context: int
    parallel: int
    size: int
    size_vram: int
    details: dict[str, Any]
    behavior: dict[str, Any]


def candidates(program: str) -> list[str]:
    here = os.path.dirname(program)
    above = os.path.dirname(here)
    spots = [here, f"{above}/lib/ollama"]
    for base in (here, above):
        spots += [
            f"{base}/build/lib/ollama",
            f"{base}/dist/linux-amd64/lib/ollama",
            f"{base}/dist/linux_amd64/lib/ollama",
        ]
    return [f"{spot}/llama-server" for spot in spots]


def find(program: str) -> str:
    """The child's program beside ours; run as a module there is no bin directory and the package's own file serves."""
    if program.endswith(".py"):
        return os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama_server.py")
    checked = candidates(program)
    for path in checked:
        if os.path.isfile(path):
            return path
    advice = "Run 'cmake -S llama/server --preset cpu && cmake --build --preset cpu' first"
    raise LoadError(
        f"error starting llama-server: llama-server binary not found (checked: {', '.join(checked)}). {advice}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Runner:
    def __init__(self, program: str, load: RunnerLoad, keep_alive: float) -> None:
        self.load = load
        self.keep_alive = keep_alive
        self.expires = time.time() + keep_alive
        self.users = 0
        self.port = _free_port()
        self._captured: list[str] = []
        self._start(find(program))

    def _start(self, program: str) -> None:
        load = self.load
        argv = [program, "--model", load.weights, "--port", str(self.port), "--host", "127.0.0.1", "--no-webui"]
        argv += ["--offline", "-c", str(load.context * load.parallel), "-np", str(load.parallel)]
        argv += ["--log-verbosity", "4", "--flash-attn", "auto", "-b", "512", "-ub", "512", "--context-shift"]
        log.slog("INFO", "llama_server.go:433", "starting llama-server", cmd=" ".join(argv))
        self._process = subprocess.Popen(
            [sys.executable, *argv],
            env={**os.environ, "REAPER_OPS_LAB_LOAD": json.dumps(load.behavior)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._capture, daemon=True)
        self._reader.start()

    def _capture(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.rstrip("\n")
            if text.startswith(_CAPTURED) or any(word in text for word in _MEMORY):
                self._captured.append(text)
            log.raw(text)

    def wait_ready(self, gone: Callable[[], bool]) -> None:
        """Until the child listens. LoadError when it ends first or the caller leaves."""
        started = time.monotonic()
        log.slog("INFO", "llama_server.go:1295", "waiting for llama-server to start responding")
        text = "waiting for llama-server to become available"
        log.slog("INFO", "llama_server.go:1350", text, status="llm server not responding")
        while not self._listens():
            if self._process.poll() is not None:
                raise LoadError(f"llama-server process has terminated: {self.ending()}")
            if gone():
                self.stop()
                raise LoadError("timed out waiting for llama-server to start: context canceled", 499)
            time.sleep(0.01)
        took = time.monotonic() - started
        log.slog("INFO", "llama_server.go:1362", f"llama-server started in {took:.2f} seconds")

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def ending(self) -> str:
        """How the child ended: a signal, or its exit status with the lines it left."""
        code = self._process.wait()
        self._reader.join(2)
        lines = "\n".join(self._captured)
        if code < 0:
            name = _NAMES.get(signal.Signals(-code), signal.Signals(-code).name)
            return lines or f"signal: {name}"
        return f"exit status {code}: {lines}" if lines else f"exit status {code}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def dead_signal(self) -> int | None:
        """None while it lives, else the signal that ended it (0 for an exit)."""
        code = self._process.poll()
        return None if code is None else max(-code, 0)

    def answer(self, request: dict[str, Any]) -> Iterator[str]:
        """Words one by one; RunnerDied when the child goes away before the end."""
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=600)
            with connection, connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                for line in stream:
                    item = json.loads(line)
                    if item.get("end"):
                        return
                    yield item["word"]
        except (OSError, ValueError):
            raise RunnerDied from None
        raise RunnerDied

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
