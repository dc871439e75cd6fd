"""Servers under test: the simulated one always, a real one where the environment names it. One way to ask both."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REAL_URL = os.environ.get("REAPER_OPS_OLLAMA_URL", "")
REAL_BIN = os.environ.get("REAPER_OPS_OLLAMA_BIN", "")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str | None:
        return self.headers.get("content-type")

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines() if line]

    def error(self) -> str:
        """The error text, wherever the answer has it: its body, or the last line of its stream."""
        found = self.lines()[-1]
        return found["error"] if isinstance(found.get("error"), str) else found["error"]["message"]


@contextlib.contextmanager
def opened(
    url: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 60
) -> Iterator[http.client.HTTPResponse]:
    """An open answer; leaving the block hangs up."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    data = body.encode() if isinstance(body, str) else body if isinstance(body, bytes | None) else json.dumps(body)
    try:
        connection.request(method, path, data, dict(headers or {}))
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def ask(
    url: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 60
) -> Answer:
    with opened(url, method, path, body, headers, timeout) as response:
        found = {key.lower(): value for key, value in response.getheaders()}
        return Answer(response.status, found, response.read())


@dataclass(frozen=True)
class Subject:
    """A server to ask. `program` is what can be started afresh, None where only a URL is known."""

    kind: str
    url: str

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return ask(self.url, method, path, body, **more)

    def pull(self, name: str, **more: Any) -> Answer:
        return self.ask("POST", "/api/pull", {"model": name, "insecure": True, **more})

    def generate(self, name: str, **more: Any) -> Answer:
        return self.ask("POST", "/api/generate", {"model": name, **more})


class Started:
    """A server process of a test."""

    def __init__(self, kind: str, argv: list[str], env: Mapping[str, str], home: Path) -> None:
        self.home = home
        self.models = Path(env["OLLAMA_MODELS"])
        self.subject = Subject(kind, f"http://{env['OLLAMA_HOST']}")
        self._log = home / "log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(argv, env=dict(env), stdout=output, stderr=output, start_new_session=True)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_ready(self) -> Subject:
        for _ in range(600):
            assert self.process.poll() is None, self.log
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.subject.ask("GET", "/api/version", timeout=5).status == 200:
                    return self.subject
            time.sleep(0.02)
        raise AssertionError("the server did not answer\n" + self.log)

    def runners(self) -> list[int]:
        """Pids of the children that hold models."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                number, _, rest = path.read_text().partition(" (")
                state, parent = rest.rpartition(") ")[2].split()[:2]
                words = (path.parent / "cmdline").read_bytes()
                if int(parent) == self.process.pid and state != "Z" and b"--model" in words:
                    found.append(int(number))
        return found

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


class Starter:
    """Starts servers of one kind in directories of their own, and ends them all."""

    def __init__(self, kind: str, argv: list[str], directory: Path) -> None:
        self.kind = kind
        self.argv = argv
        self._directory = directory
        self._started: list[Started] = []

    def start(self, argv: list[str] | None = None, **variables: str) -> Started:
        home = self._directory / f"server-{len(self._started)}"
        home.mkdir(parents=True)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "OLLAMA_HOST": f"127.0.0.1:{free_port()}",
            "OLLAMA_MODELS": str(home / "models"),
            "OLLAMA_NO_CLOUD": "1",
            **variables,
        }
        started = Started(self.kind, argv or [*self.argv, "serve"], env, home)
        self._started.append(started)
        return started

    def stop(self) -> None:
        for started in self._started:
            started.stop()


def simulated(tree: Path) -> list[str]:
    from reaper_ops.lab import release

    return [sys.executable, str(release.lay_out(tree))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> int:
    """The first of so many ports in a row."""
    while True:
        first = free_port()
        try:
            for number in range(first, first + count):
                socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        return first
