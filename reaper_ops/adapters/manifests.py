"""A registry of manifests alone, for hosts that have the blobs already: it is there while a push runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from reaper_ops.core.models import names
from reaper_ops.errors import CommandError

KIND = "application/vnd.docker.distribution.manifest.v2+json"
UNKNOWN = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    manifests: Mapping[str, bytes]

    def handle_error(self, request: object, client_address: object) -> None:
        """A host that hangs up asks again."""


class _ManifestHandler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30

    def do_GET(self) -> None:
        data = self.server.manifests.get(self.path)
        body = UNKNOWN if data is None else data
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Type", "application/json" if data is None else KIND)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        return


def own_address(base_url: str) -> str:
    """The address of this machine that a server sees when it is asked; empty where its name leads nowhere."""
    parts = urlsplit(base_url)
    try:
        family, _, _, _, place = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        return ""


@contextmanager
def serving(addresses: set[str], aliases: Mapping[str, bytes], port: int = 0) -> Iterator[Mapping[str, str]]:
    """`host:port` by address. aliases: manifests by the names (without host) under which hosts ask for them."""
    paths = {names.split(f"x.x/{alias}").manifest_url(""): data for alias, data in aliases.items()}
    with ExitStack() as stack:
        found = {}
        for address in sorted(addresses):
            server = stack.enter_context(_bound(address, port))
            server.manifests = paths
            found[address] = f"{address}:{server.server_address[1]}"
        yield found


@contextmanager
def _bound(address: str, port: int) -> Iterator[_Server]:
    try:
        server = _Server((address, port), _ManifestHandler)
    except OSError as error:
        problem = f"cannot listen ({error.strerror})"
        raise CommandError(f"{address}:{port}", problem, "name another --push-port") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
