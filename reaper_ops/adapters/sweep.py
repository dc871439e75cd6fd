"""Many servers asked at once, by libcurl: one thread, one handle per host in flight, reused for all its steps."""

from __future__ import annotations

import errno
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import pycurl

from reaper_ops.core import typed
from reaper_ops.core.facts.exchange import TELLING
from reaper_ops.core.facts.exchanges import Request
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health.probe import BODY_LIMIT, Ladder
from reaper_ops.core.isolation import alone

SHOWN = 300
OnHost = Callable[[str, tuple[Exchange, ...]], None]
UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL}
BY_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    **dict.fromkeys(UNREACHABLE, "unreachable"),
}
BY_CURL = {
    pycurl.E_COULDNT_RESOLVE_HOST: ("dns", "resolve"),
    pycurl.E_URL_MALFORMAT: ("dns", "resolve"),
    pycurl.E_COULDNT_CONNECT: ("unreachable", "connect"),
    pycurl.E_SSL_CONNECT_ERROR: ("tls", "tls"),
    pycurl.E_PEER_FAILED_VERIFICATION: ("tls", "tls"),
    pycurl.E_SEND_ERROR: ("reset", "send"),
    pycurl.E_RECV_ERROR: ("closed", "read"),
    pycurl.E_GOT_NOTHING: ("closed", "read"),
    pycurl.E_PARTIAL_FILE: ("closed", "read"),
    pycurl.E_WRITE_ERROR: ("protocol", "read"),
}


@dataclass
class _Walk:
    """One host on its way through the ladder."""

    name: str
    url: str
    done: list[Exchange] = field(default_factory=list)
    path: str = ""
    body: BytesIO = field(default_factory=BytesIO)
    headers: dict[str, str] = field(default_factory=dict)


def sweep(
    targets: Mapping[str, str],
    ladder: Ladder | Mapping[str, Ladder],
    *,
    concurrency: int = 200,
    connect_timeout: float = 2.0,
    on_host: OnHost | None = None,
) -> dict[str, tuple[Exchange, ...]]:
    """Base URL per name in, exchanges per name out; no trouble on a host raises. One ladder for all, or one each."""
    idle = [_handle(connect_timeout) for _ in range(min(concurrency, len(targets)))]
    return _Sweep(ladder, idle, on_host or (lambda name, done: None)).run(targets)


class _Sweep:
    def __init__(self, ladder: Ladder | Mapping[str, Ladder], idle: list[pycurl.Curl], on_host: OnHost) -> None:
        self._ladder, self._idle, self._on_host = ladder, idle, on_host
        self._multi = pycurl.CurlMulti()
        self._flying: dict[pycurl.Curl, _Walk] = {}
        self._found: dict[str, tuple[Exchange, ...]] = {}

    def run(self, targets: Mapping[str, str]) -> dict[str, tuple[Exchange, ...]]:
        waiting = deque(_Walk(name, url) for name, url in targets.items())
        while waiting or self._flying:
            while waiting and self._idle:
                self._advance(self._idle.pop(), waiting.popleft())
            self._multi.perform()
            for curl, code, text in finished(self._multi):
                self._multi.remove_handle(curl)
                walk = self._flying.pop(curl)
                self._guarded(curl, walk, code, text)
            if self._flying:
                self._multi.select(1.0)
        for curl in self._idle:
            curl.close()
        self._multi.close()
        return self._found

    def _guarded(self, curl: pycurl.Curl, walk: _Walk, code: int, text: str) -> None:
        """An answer that we cannot read ends the talk with this host alone."""

        def go_on() -> None:
            walk.done.append(_exchange(curl, walk, code, text))
            self._advance(curl, walk)

        def give_up(said: str) -> None:
            walk.done.append(Exchange(walk.path, "read", "protocol", said))
            self._ended(curl, walk)

        alone(walk.name, go_on, give_up)

    def _ended(self, curl: pycurl.Curl, walk: _Walk) -> None:
        self._found[walk.name] = tuple(walk.done)
        self._idle.append(curl)
        self._on_host(walk.name, self._found[walk.name])

    def _advance(self, curl: pycurl.Curl, walk: _Walk) -> None:
        ladder = self._ladder[walk.name] if isinstance(self._ladder, Mapping) else self._ladder
        request = ladder(walk.done)
        if request is None:
            self._ended(curl, walk)
            return
        _prepare(curl, walk, request)
        self._flying[curl] = walk
        self._multi.add_handle(curl)


def finished(multi: pycurl.CurlMulti) -> Sequence[tuple[pycurl.Curl, int, str]]:
    ended: list[tuple[pycurl.Curl, int, str]] = []
    more = 1
    while more:
        more, good, bad = multi.info_read()
        ended += [(curl, 0, "") for curl in good]
        ended += [(curl, code, text) for curl, code, text in bad]
    return ended


def _handle(connect_timeout: float) -> pycurl.Curl:
    curl = pycurl.Curl()
    prepare(curl, connect_timeout)
    return curl


def prepare(curl: pycurl.Curl, connect_timeout: float) -> None:
    """What holds for every request of ours: no proxy, no redirect, HTTP/1.1."""
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.PROXY, "")
    curl.setopt(pycurl.NOPROXY, "*")
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.USERAGENT, "reaper_ops")
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_timeout * 1000))


def _prepare(curl: pycurl.Curl, walk: _Walk, request: Request) -> None:
    walk.path, walk.body, walk.headers = request.path, BytesIO(), {}
    curl.setopt(pycurl.URL, (walk.url + request.path).encode())
    curl.setopt(pycurl.TIMEOUT_MS, int(request.timeout * 1000))
    curl.setopt(pycurl.WRITEFUNCTION, _writer(walk.body))
    curl.setopt(pycurl.HEADERFUNCTION, _header_writer(walk.headers))
    if request.method == "POST":
        curl.setopt(pycurl.POSTFIELDS, json.dumps(request.body))
        curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json"])
    else:
        curl.setopt(pycurl.HTTPGET, 1)
        curl.setopt(pycurl.HTTPHEADER, [])


def _writer(body: BytesIO) -> Callable[[bytes], int]:
    def write(data: bytes) -> int:
        return body.write(data) if body.tell() + len(data) <= BODY_LIMIT else 0

    return write


def _header_writer(headers: dict[str, str]) -> Callable[[bytes], None]:
    def write(line: bytes) -> None:
        name, mark, value = line.partition(b":")
        plain = name.decode("latin-1").lower()
        if mark and plain in TELLING:
            headers[plain] = value.decode("latin-1").strip()[:SHOWN]

    return write


def _exchange(curl: pycurl.Curl, walk: _Walk, code: int, text: str) -> Exchange:
    address = curl.getinfo(pycurl.PRIMARY_IP) or ""
    if ":" in address:
        address = f"[{address}]"
    status = curl.getinfo(pycurl.RESPONSE_CODE)
    error, phase, number = _classify(curl, code) if code else ("", "done", None)
    return Exchange(
        path=walk.path,
        phase=phase,
        error=error,
        detail=typed.words(text, SHOWN),
        errno=number,
        address=f"{address}:{curl.getinfo(pycurl.PRIMARY_PORT)}" if address else "",
        status=status or None,
        content_type=(curl.getinfo_raw(pycurl.CONTENT_TYPE) or b"").decode("latin-1")[:SHOWN],
        body=walk.body.getvalue().decode("utf-8", "replace"),
        headers=walk.headers,
        elapsed_ms=round(curl.getinfo(pycurl.TOTAL_TIME) * 1000, 1),
    )


def _classify(curl: pycurl.Curl, code: int) -> tuple[str, str, int | None]:
    """Class, phase and errno: curl's own texts call refused, filtered and unreachable the same."""
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return "timeout", ("read" if curl.getinfo(pycurl.CONNECT_TIME) else "connect"), None
    error, phase = BY_CURL.get(code, ("protocol", "read"))
    number = curl.getinfo(pycurl.OS_ERRNO) or None
    if number is not None and phase in {"connect", "send", "read"} and error != "protocol":
        error = BY_ERRNO.get(number, error)
    return error, phase, number
