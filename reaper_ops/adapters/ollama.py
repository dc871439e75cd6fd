"""The one door to a single Ollama server: calls and NDJSON streams. Many servers are swept by `sweep`."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from reaper_ops.adapters.sweep import BY_ERRNO
from reaper_ops.core.facts.exchange import TELLING
from reaper_ops.core.facts.exchanges import Request
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health.probe import BODY_LIMIT, Ladder, error_text, record
from reaper_ops.errors import CommandError

PLAIN = {"Accept-Encoding": "identity"}
LINE = 1 << 20
"""Of a stream; that of a generated answer holds its whole context."""
SAID = {
    "dns": ("the name does not resolve", "check the URL"),
    "refused": ("connection refused: nothing listens there", "`reaper-ops probe` says why"),
    "timeout": ("no answer in time", "`reaper-ops probe` says why"),
    "unreachable": ("no route to the host", "check the network and the firewall"),
    "tls": ("TLS failed", "Ollama speaks plain HTTP: write http://"),
    "reset": ("the connection was cut", "`reaper-ops probe` says why"),
    "closed": ("the connection was closed in the middle", "`reaper-ops probe` says why"),
    "protocol": ("the answer is not HTTP", "check address and port"),
}


class Unanswered(CommandError):
    """A request without a complete answer; `exchange` says how far it went."""

    def __init__(self, base_url: str, exchange: Exchange) -> None:
        problem, hint = SAID.get(exchange.error, SAID["protocol"])
        super().__init__(f"{base_url}{exchange.path}", problem, hint)
        self.exchange = exchange


class RequestRefused(CommandError):
    """The server answered with an error of its own, with a status or inside a 200 stream."""

    def __init__(self, base_url: str, path: str, status: int | None, text: str) -> None:
        super().__init__(f"{base_url}{path}", f"HTTP {status}: {text}" if status != 200 else text)
        self.status = status
        self.text = text


def ask(base_url: str, request: Request, *, connect_timeout: float = 2.0) -> Exchange:
    """One request as it went; no trouble with the server raises."""
    started = time.monotonic()
    try:
        with _open(base_url, request, connect_timeout) as response:
            body = _body(base_url, request, response)
            return Exchange(
                path=request.path,
                phase="done",
                address=_address(response),
                status=response.status_code,
                content_type=response.headers.get("content-type", ""),
                body=body,
                headers={name: value for name, value in response.headers.items() if name in TELLING},
                elapsed_ms=_since(started),
            )
    except Unanswered as error:
        return error.exchange


def walk(base_url: str, ladder: Ladder) -> tuple[Exchange, ...]:
    """One server asked step by step."""
    done: list[Exchange] = []
    while (request := ladder(done)) is not None:
        done.append(ask(base_url, request))
    return tuple(done)


def call(base_url: str, request: Request) -> Mapping[str, Any]:
    """The JSON object of a 200; anything else raises Refused or Unanswered."""
    exchange = ask(base_url, request)
    if exchange.error:
        raise Unanswered(base_url, exchange)
    if exchange.status != 200:
        raise RequestRefused(base_url, request.path, exchange.status, error_text(exchange) or exchange.body[:200])
    return record(exchange.body) or {}


def stream(base_url: str, request: Request, *, connect_timeout: float = 2.0) -> Iterator[Mapping[str, Any]]:
    """Objects of an NDJSON stream as they come; `timeout` of the request is the longest silence.

    An error line inside the 200 raises Refused. The caller looks for `success` or `done`: an end without it failed.
    """
    with _open(base_url, request, connect_timeout) as response:
        if response.status_code != 200:
            body = _body(base_url, request, response)
            text = error_text(Exchange(request.path, "done", body=body)) or body[:200]
            raise RequestRefused(base_url, request.path, response.status_code, text)
        for line in _lines(base_url, request, response):
            found = record(line)
            if found is None:
                continue
            if isinstance(found.get("error"), str):
                raise RequestRefused(base_url, request.path, 200, found["error"])
            yield found


@contextmanager
def _open(base_url: str, request: Request, connect_timeout: float) -> Iterator[httpx.Response]:
    """An open response; every error of httpx becomes Unanswered here, and nowhere else."""
    started = time.monotonic()
    limits = httpx.Timeout(request.timeout, connect=connect_timeout)
    try:
        with (
            httpx.Client(trust_env=False, timeout=limits, verify=_context(base_url), headers=PLAIN) as client,
            client.stream(request.method, base_url + request.path, json=request.body) as response,
        ):
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _untaken(base_url, request, "the answer is compressed, which nobody asked for")
            yield response
    except httpx.InvalidURL as error:
        raise _unanswered(base_url, request, "dns", "resolve", error, started) from error
    except httpx.ConnectTimeout as error:
        raise _unanswered(base_url, request, "timeout", "connect", error, started) from error
    except httpx.TimeoutException as error:
        raise _unanswered(base_url, request, "timeout", "read", error, started) from error
    except httpx.ConnectError as error:
        name, phase = _connect_error(error)
        raise _unanswered(base_url, request, name, phase, error, started) from error
    except httpx.RemoteProtocolError as error:
        gone = "disconnected" in str(error) or "peer closed" in str(error)
        raise _unanswered(base_url, request, "closed" if gone else "protocol", "read", error, started) from error
    except httpx.TransportError as error:
        raise _unanswered(base_url, request, "reset", "read", error, started) from error


def _context(base_url: str) -> ssl.SSLContext | bool:
    """Plain HTTP needs no certificates; reading them costs more than the request."""
    return ssl.create_default_context() if base_url.startswith("https://") else False


def _unanswered(base_url: str, request: Request, name: str, phase: str, error: Exception, started: float) -> Unanswered:
    number = _errno(error)
    return Unanswered(base_url, Exchange(request.path, phase, name, str(error), number, elapsed_ms=_since(started)))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _errno(error: BaseException) -> int | None:
    numbers = (cause.errno for cause in _causes(error) if isinstance(cause, OSError) and cause.errno)
    return next((number for number in numbers if number > 0), None)


def _connect_error(error: Exception) -> tuple[str, str]:
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "dns", "resolve"
        if isinstance(cause, ssl.SSLError):
            return "tls", "tls"
    return BY_ERRNO.get(_errno(error) or 0, "unreachable"), "connect"


def _body(base_url: str, request: Request, response: httpx.Response) -> str:
    parts: list[bytes] = []
    size = 0
    for part in response.iter_raw():
        size += len(part)
        if size > BODY_LIMIT:
            raise _untaken(base_url, request, f"the answer is larger than {BODY_LIMIT} bytes")
        parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")


def _lines(base_url: str, request: Request, response: httpx.Response) -> Iterator[str]:
    rest = b""
    for part in response.iter_raw():
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
        if len(rest) > LINE:
            raise _untaken(base_url, request, f"a line is longer than {LINE} bytes")
    if rest:
        yield rest.decode("utf-8", "replace")


def _untaken(base_url: str, request: Request, why: str) -> Unanswered:
    return Unanswered(base_url, Exchange(request.path, "read", "protocol", why))


def _address(response: httpx.Response) -> str:
    network = response.extensions.get("network_stream")
    peer = network.get_extra_info("server_addr") if network else None
    return f"{peer[0]}:{peer[1]}" if peer else ""


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
