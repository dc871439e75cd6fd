"""The way to registries and release servers: as it comes, no longer than wanted, no larger than expected, and from
one host to another only where that is allowed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import httpx

from reaper_ops import assets

DEADLINE = 60.0
SMALL = 1 << 20
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RULES = assets.shared("reaper_redirects")


class Distrusted(httpx.HTTPError):
    """An answer that is not taken, with the reason."""


@dataclass(frozen=True)
class WebAnswer:
    """url: where it came from in the end."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes = b""


class Guard:
    """Sees the sockets of one request: shuts them when the time is over, and leaves those that go where none may."""

    def __init__(self, seconds: float | None, url: str, origin: str = "") -> None:
        self.late, self.peer = False, ""
        self._target, self._origin, self._host = urlsplit(url).hostname or "", origin, ""
        self._sockets: list[Any] = []
        self._timer = threading.Timer(seconds, self._end) if seconds else None

    def __enter__(self) -> Self:
        if self._timer:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._timer:
            self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """For httpx: a connection is looked at before a byte is sent."""
        if event == "connection.connect_tcp.started":
            self._host = info["host"]
        elif event in {"connection.connect_tcp.complete", "proxy.start_tls.complete", "connection.start_tls.complete"}:
            self._opened(info["return_value"])

    def _opened(self, stream: Any) -> None:
        self._seen(stream)
        direct = self._origin and self._host.lower() == self._target.lower()
        reason = _RULES.address_refusal(self.peer, self._origin) if direct else ""
        if reason:
            stream.close()
            raise Distrusted(f"{self._host} {reason}")

    def reuse(self, response: httpx.Response) -> None:
        """A kept connection opens no socket."""
        stream = response.extensions.get("network_stream")
        if stream is not None:
            self._seen(stream)

    def _seen(self, stream: Any) -> None:
        self._sockets.append(stream.get_extra_info("socket"))
        self.peer = str((stream.get_extra_info("server_addr") or [""])[0])

    def _end(self) -> None:
        self.late = True
        for one in self._sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)


class Web:
    """Connections are kept. What is secret in a request goes to the host that it was meant for alone."""

    def __init__(self, user_agent: str, timeout: httpx.Timeout, *, trust_env: bool = True) -> None:
        self._client = httpx.Client(
            timeout=timeout,
            trust_env=trust_env,
            follow_redirects=False,
            headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        secret: Mapping[str, str] | None = None,
        content: Any = None,
        limit: int = SMALL,
        stores: bool = False,
    ) -> WebAnswer:
        """A whole answer of at most `limit` bytes. stores: it may come from where registries keep bytes."""
        seconds = None if content is not None and not isinstance(content, bytes) else DEADLINE
        with self.open(method, url, headers, secret=secret, content=content, stores=stores, seconds=seconds) as found:
            body = b"" if method == "HEAD" else _within(found, limit)
            return WebAnswer(str(found.url), found.status_code, found.headers, body)

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        secret: Mapping[str, str] | None = None,
        content: Any = None,
        stores: bool = False,
        seconds: float | None = DEADLINE,
    ) -> Iterator[httpx.Response]:
        """The answer with its body still to be read, by `iter_raw`."""
        first, place = "", url
        for hop in range(_RULES.MOST + 1):
            with Guard(seconds, place, first if hop else "") as guard, _timed(guard):
                given = {**(headers or {}), **((secret or {}) if _same_place(place, url) else {})}
                request = self._client.build_request(
                    method, place, headers=given, content=content, extensions={"trace": guard.trace}
                )
                response = self._client.send(request, stream=True)
                guard.reuse(response)
                first = first or guard.peer
                try:
                    onward = response.headers.get("location") if response.status_code in REDIRECTS else None
                    if onward is None or method not in {"GET", "HEAD"}:
                        _plain(response)
                        yield response
                        return
                    place = _onward(place, onward, stores)
                finally:
                    response.close()
        raise Distrusted(f"sends us on more than {_RULES.MOST} times")


@contextlib.contextmanager
def _timed(guard: Guard) -> Iterator[None]:
    """A socket that was shut for its time looks like a server that hung up."""
    late = f"no complete answer in {DEADLINE:.0f} s"
    try:
        yield
    except httpx.TransportError as error:
        if guard.late:
            raise httpx.ReadTimeout(late) from error
        raise
    if guard.late:
        raise httpx.ReadTimeout(late)


def _same_place(one: str, other: str) -> bool:
    return urlsplit(one)[:2] == urlsplit(other)[:2]


def _onward(here: str, location: str, stores: bool) -> str:
    there = urljoin(here, location)
    try:
        reason = _RULES.refusal(here, there, stores)
    except ValueError:
        reason = "is not an HTTP URL"
    if reason:
        raise Distrusted(f"sends us on to {ascii(there)[1:-1][:200]}, which {reason}")
    return there


def allowed(here: str, location: str) -> str:
    """The place that an answer names, where it may name it."""
    return _onward(here, location, False)


def _plain(response: httpx.Response) -> None:
    """Compressed bytes grow without bound, and nobody asked for them."""
    packed = response.headers.get("content-encoding", "identity")
    if packed.strip().lower() not in {"", "identity"}:
        raise Distrusted(f"sends the answer compressed ({ascii(packed)[1:-1][:60]}), which nobody asked for")


def _within(response: httpx.Response, limit: int) -> bytes:
    found = bytearray()
    for part in response.iter_raw():
        found += part
        if len(found) > limit:
            raise Distrusted(f"sends more than {limit} bytes")
    return bytes(found)
