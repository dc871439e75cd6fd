"""Small servers on loopback for the tests of the adapters: real sockets, no threads left behind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OLLAMA: dict[str, Any] = {
    "/api/version": {"version": "0.35.1"},
    "/api/tags": {"models": [{"name": "tiny:1m", "digest": "ab", "size": 7}]},
    "/api/ps": {"models": []},
}


class Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    answers: Mapping[str, Any]
    seen: list[tuple[str, str, bytes]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    timeout = 5

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.server.seen.append((self.command, self.path, self.rfile.read(length)))
        answer = self.server.answers.get(self.path)
        if callable(answer):
            answer(self)
            self.close_connection = True
            return
        status, body = answer if isinstance(answer, tuple) else (200 if answer is not None else 404, answer)
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def http_server(answers: Mapping[str, Any] = OLLAMA, address: str = "127.0.0.1") -> Iterator[Server]:
    server = Server((address, 0), Handler)
    server.answers, server.seen = answers, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accepts connections and does with each what `behave` says."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            with peer:
                behave(peer)

    listener.settimeout(0.05)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        thread.join()
        listener.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
