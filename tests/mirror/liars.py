"""Registries that do what no honest one does, and remember every byte that they were asked with."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Answer = tuple[int, Mapping[str, str], bytes]
GOOD, EVIL = b"GOOD" * 1000, b"EVIL" * 1000
DIGEST = "sha256:" + hashlib.sha256(GOOD).hexdigest()
BLOB = f"/v2/library/tiny/blobs/{DIGEST}"
MANIFEST = "/v2/library/tiny/manifests/latest"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Request:
    line: str
    path: str
    headers: Mapping[str, str]

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "")


@dataclass
class Liar:
    """at: where it listens; asked: requests in their order; answers: by whoever runs the test."""

    at: str
    asked: list[Request] = field(default_factory=list)


def part(data: bytes, request: Request, **more: str) -> Answer:
    match = _RANGE.match(request.headers.get("range", ""))
    if not match:
        return 200, more, data
    first, last = int(match[1]), min(int(match[2] or len(data)), len(data) - 1)
    return 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}", **more}, data[first : last + 1]


@contextlib.contextmanager
def serving(
    answer: Callable[[Request], Answer], at: str = "127.0.0.1", port: int = 0, cert: Path | None = None
) -> Iterator[Liar]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = Request(self.requestline, self.path, {k.lower(): v for k, v in self.headers.items()})
            found.asked.append(asked)
            status, headers, body = answer(asked)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_POST = do_DELETE = do_GET

        def log_message(self, *words: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *words: object) -> None:
            pass

    server = Server((at, port), Handler)
    if cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    found = Liar(f"{at}:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
