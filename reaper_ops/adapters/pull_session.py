"""One server during a pull: its steps that are requests, done one after the other in the thread of its host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pycurl

from reaper_ops.adapters.fan_out import Halt
from reaper_ops.adapters.sweep import prepare
from reaper_ops.core import typed
from reaper_ops.core.isolation import alone
from reaper_ops.core.models import pull_steps as steps
from reaper_ops.core.models.pull_steps import Answer, Ask, Pull, Stream, Trouble
from reaper_ops.core.models.push import Upload

ASK_TIMEOUT = 30.0
GRACE = 5.0
"""Seconds that a request which changes names may still take when the run is stopped."""
BUFFER = 512 << 10
LIMIT = 16 << 20
LINE = 64 << 10
"""Of a pull: a status, a digest, two numbers."""
OnLine = Callable[[Mapping[str, Any]], None]


class Stopped(Exception):
    """Ctrl-C: what was downloaded stays for the next run."""


class Session:
    """halt: set when the run is to stop. on_line: is given each line of a pull, and those of an upload."""

    def __init__(self, name: str, url: str, halt: Halt, on_line: OnLine, connect_timeout: float = 5.0) -> None:
        self.name, self.url, self.halt, self.on_line = name, url, halt, on_line
        self._connect_timeout, self._curl = connect_timeout, pycurl.Curl()

    def close(self) -> None:
        self._curl.close()

    def wait(self, seconds: float) -> None:
        if self.halt.wait(seconds):
            raise Stopped

    def ask(self, ask: Ask) -> Answer:
        self._prepare(ask.method, ask.path, ask.body)
        self._curl.setopt(pycurl.TIMEOUT_MS, int(ASK_TIMEOUT * 1000))
        return self._answer(_Reply(self, grace=GRACE))

    def pull(self, pull: Pull) -> str:
        """What went wrong; empty when nothing did."""
        self._prepare("POST", "/api/pull", steps.pull_body(pull.name, pull.params))
        reply = _Reply(self, stream=Stream(pull.params, time.monotonic(), pull.sizes))
        code, text = self._perform(reply)
        return reply.outcome(code, text, connected=bool(self._curl.getinfo(pycurl.CONNECT_TIME)))

    def upload(self, upload: Upload) -> Answer:
        """The blob's own bytes as the body; how far it is, is told in the words of a pull."""
        try:
            file = Path(upload.path).open("rb")  # noqa: SIM115 - closed by the block below
        except OSError as error:
            raise Trouble(f"{upload.path}: {error.strerror}") from None
        with file:
            source = _Source(upload, file.read, self.on_line)
            self._prepare("POST", f"/api/blobs/{upload.digest}", None)
            self._send_file(upload, source.read)
            source.tell()
            return self._answer(_Reply(self))

    def _send_file(self, upload: Upload, read: Callable[[int], bytes]) -> None:
        curl = self._curl
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.POSTFIELDSIZE_LARGE, upload.size)
        curl.setopt(pycurl.READFUNCTION, read)
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, BUFFER)
        curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/octet-stream", "Expect:"])
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        curl.setopt(pycurl.LOW_SPEED_TIME, upload.patience)
        if upload.rate:
            curl.setopt(pycurl.MAX_SEND_SPEED_LARGE, upload.rate)

    def _prepare(self, method: str, path: str, body: object) -> None:
        if self.halt.is_set():
            raise Stopped
        curl = self._curl
        curl.reset()
        prepare(curl, self._connect_timeout)
        curl.setopt(pycurl.URL, (self.url + path).encode())
        curl.setopt(pycurl.CUSTOMREQUEST, method)
        curl.setopt(pycurl.NOBODY, method == "HEAD")
        if body is not None:
            curl.setopt(pycurl.POSTFIELDS, json.dumps(body))
            curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json", "Expect:"])

    def _answer(self, reply: _Reply) -> Answer:
        code, text = self._perform(reply)
        if code:
            raise Trouble(text)
        return reply.answer

    def _perform(self, reply: _Reply) -> tuple[int, str]:
        """Code and words of libcurl; 0 for a whole answer."""
        curl, failed = self._curl, (0, "")
        curl.setopt(pycurl.WRITEFUNCTION, reply.write)
        curl.setopt(pycurl.HEADERFUNCTION, reply.head)
        curl.setopt(pycurl.NOPROGRESS, 0)
        curl.setopt(pycurl.XFERINFOFUNCTION, reply.watch)
        try:
            curl.perform()
        except pycurl.error as error:
            failed = (error.args[0], typed.words(error.args[1], 300))
        if reply.stopped:
            raise Stopped
        return failed


@dataclass
class _Source:
    """A blob on its way."""

    upload: Upload
    take: Callable[[int], bytes]
    on_line: OnLine
    sent: int = 0

    def read(self, count: int) -> bytes:
        part = self.take(count)
        self.sent += len(part)
        self.tell()
        return part

    def tell(self) -> None:
        line = {"status": f"pulling {self.upload.digest[7:19]}", "digest": self.upload.digest}
        self.on_line({**line, "completed": self.sent, "total": self.upload.size})


@dataclass
class _Reply:
    """An answer as it comes; `stream` where it is that of a pull, whose lines are judged one by one."""

    session: Session
    stream: Stream | None = None
    grace: float = 0.0
    body: bytearray = field(default_factory=bytearray)
    status: int = 0
    heard: float = field(default_factory=time.monotonic)
    silent: bool = False
    stopped: bool = False
    _ends: float | None = None

    def head(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):
            self.status = typed.digits(line.split()[1].decode("latin-1")) or 0

    def watch(self, *_: float) -> int:
        """libcurl calls it at least once a second, and hangs up when it is told to."""
        now = time.monotonic()
        if self.session.halt.is_set():
            self._ends = now + self.grace if self._ends is None else self._ends
            self.stopped = now >= self._ends
        self.silent = self.stream is not None and now - self.heard > self.stream.patience()
        return int(self.stopped or self.silent)

    def write(self, data: bytes) -> int | None:
        """An error in a line ends the pull."""
        self.heard = time.monotonic()
        self.body += data
        if self.stream is None or self.status != 200:
            return None if len(self.body) <= LIMIT else 0
        *lines, rest = self.body.split(b"\n")
        self.body = bytearray(rest)
        for line in lines:
            self._line(self.stream, bytes(line))
        if len(rest) > LINE and not self.stream.over:
            self.stream.error = f"the server sends a line of more than {LINE} bytes"
        return 0 if self.stream.error else None

    def _line(self, stream: Stream, line: bytes) -> None:
        """What cannot be read ends this pull; an exception in a callback of libcurl would be lost."""

        def take() -> None:
            self.session.on_line(stream.line(line.decode("utf-8", "replace"), self.heard))

        def give_up(said: str) -> None:
            stream.error = said

        if line.strip() and not stream.over:
            alone(self.session.name, take, give_up)

    @property
    def answer(self) -> Answer:
        return Answer(self.status, self.body.decode("utf-8", "replace"))

    def outcome(self, code: int, text: str, *, connected: bool) -> str:
        assert self.stream is not None
        if self.status == 200:
            self._line(self.stream, bytes(self.body))
        if self.stream.over:
            return self.stream.error
        if self.silent or (code == pycurl.E_OPERATION_TIMEDOUT and connected):
            return self.stream.stalled()
        if code:
            return steps.gone(self.session.url, text)
        return steps.said(self.answer) if self.status != 200 else steps.ENDED
