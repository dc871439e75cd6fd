"""A host of a talk, and a request on its way to it: its answer is judged as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pycurl

from reaper_ops.core import typed
from reaper_ops.core.isolation import alone
from reaper_ops.core.models import pull_steps as rules

LIMIT = 16 << 20
LINE = 64 << 10
"""Of a pull: a status, a digest, two numbers."""


@dataclass(eq=False)
class Talk:
    """One host. do: every step that is no request; on_line: lines of its pulls; on_end: what came of the whole."""

    name: str
    url: str
    steps: Generator[Any, Any, Any]
    do: Callable[[Any], Any]
    on_line: Callable[[Mapping[str, Any]], None]
    on_end: Callable[[Any, Exception | None], None]
    renewal: Any = None
    renewing: bool = False
    patient: bool = False
    stopped: bool = False
    came: tuple[Any, Exception | None] | None = None
    turn: int = 0


@dataclass(eq=False)
class Flight:
    """A request on its way; `stream` where it is a pull."""

    talk: Talk
    curl: pycurl.Curl
    stream: Any = None
    renews: bool = False
    body: bytearray = field(default_factory=bytearray)
    source: BinaryIO | None = None
    heard: float = 0.0
    status: int = 0

    def head(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):
            self.status = typed.digits(line.split()[1].decode("latin-1")) or 0

    def write(self, data: bytes) -> int | None:
        """Lines of a pull are judged as they come; an error in them ends it."""
        self.heard = time.monotonic()
        self.body += data
        if self.stream is None or self.status != 200:
            return None if len(self.body) <= LIMIT else 0
        *lines, rest = self.body.split(b"\n")
        self.body = bytearray(rest)
        for line in lines:
            self._line(bytes(line))
        if len(rest) > LINE and not self.stream.over:
            self.stream.error = f"the server sends a line of more than {LINE} bytes"
        return 0 if self.stream.error else None

    def _line(self, line: bytes) -> None:
        """What cannot be read ends this pull; an exception in a callback of libcurl would be lost."""

        def take() -> None:
            self.talk.on_line(self.stream.line(line.decode("utf-8", "replace"), self.heard))

        def give_up(said: str) -> None:
            self.stream.error = said

        if line.strip() and not self.stream.over:
            alone(self.talk.name, take, give_up)

    def result(self, code: int, text: str) -> tuple[Any, Exception | None]:
        answer = rules.Answer(self.status, self.body.decode("utf-8", "replace"))
        if self.stream is None:
            return (None, rules.Trouble(text)) if code else (answer, None)
        if self.status == 200:
            self._line(bytes(self.body))
        if self.stream.over:
            return self.stream.error, None
        if code == pycurl.E_OPERATION_TIMEDOUT and self.curl.getinfo(pycurl.CONNECT_TIME):
            return self.stream.stalled(), None
        if code:
            return rules.gone(self.talk.url, text), None
        return (rules.said(answer) if self.status != 200 else rules.ENDED), None
