"""A simulated model registry: manifests, blobs behind a redirect to a second host name, ranges, faults.

The namespace of a name chooses a fault; the content of a fault's namespace is that of ``library``.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
STATUSES = (401, 404, 412, 429, 500)
LIE = 1000
SLOW = 256 << 10
FAULTS = {
    "err401": "manifest: 401 without a challenge",
    "err401b": "manifest: 401, and a challenge of the same host",
    "err401c": "manifest: 401, and a challenge of another host",
    "err404": "manifest: 404",
    "err412": "manifest: 412, a newer server is needed",
    "err429": "manifest: 429, rate limited",
    "err500": "manifest: 500",
    "err503": "manifest: 503 with a page of HTML",
    "html": "manifest: 200 with a page of HTML, as a captive portal gives",
    "longmanifest": "manifest: cut, shorter than its Content-Length",
    "shortmanifest": "manifest: a Content-Length that ends before its end",
    **{f"blob{status}": f"blobs: HEAD answers {status}" for status in STATUSES},
    "get500": "blobs: HEAD is well, GET answers 500",
    "longhead": "blobs: HEAD says more bytes than there are",
    "shorthead": "blobs: HEAD says fewer bytes than there are",
    "noloc": "blobs: 200 without a Location",
    "r302": "blobs: 302 to the other host",
    "slow": "bytes: 256 KiB per second",
    "trunc": "bytes: each body is cut after two thirds",
    "trunc1": "bytes: the first body is cut, later ones are whole",
    "mismatch": "bytes of the weights: wrong, of the right length",
    **{f"cdn{status}": f"bytes: {status}" for status in STATUSES},
    "longbody": "bytes: each body is shorter than its Content-Length",
    "shortbody": "bytes: each Content-Length ends before the wanted end",
    "stall": "bytes: stop after a quarter, the connection stays open",
}
_PORTAL = "<html><body>Please log in</body></html>"
_ANSWERS = {
    "err404": (404, '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'),
    "err412": (
        412,
        "\n\nThe model you are attempting to pull requires a newer version of Ollama.\n\n"
        "Please download the latest version at:\n\n\thttps://ollama.com/download\n\n",
    ),
    "err429": (429, '{"errors":[{"code":"TOOMANYREQUESTS","message":"rate limit exceeded"}]}'),
    "err500": (500, "internal error"),
    "err503": (503, "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"),
    "html": (200, _PORTAL),
}
_PIECE = 1 << 14


class LabRegistry(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, root: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self.root = root
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        super().__init__((host, port), _RegistryHandler)

    @property
    def name(self) -> str:
        """``host:port``, as it stands in a model's name."""
        return f"{self.server_address[0]!s}:{self.server_address[1]}"

    @property
    def bytes_sent(self) -> int:
        return sum(self.sent.values())

    def other(self, here: str) -> str:
        """The second name of this machine; elsewhere there is none, and the same host gives bytes and a Location."""
        host, _, port = here.rpartition(":")
        return f"{ {'127.0.0.1': 'localhost', 'localhost': '127.0.0.1'}.get(host, host) }:{port}"

    def start(self) -> LabRegistry:
        """Serves in the background of this process."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what a registry sees all day."""


class _RegistryHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LabRegistry

    def handle(self) -> None:
        """A TLS hello gets no answer."""
        if self.connection.recv(1, socket.MSG_PEEK) != b"\x16":
            super().handle()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests[f"{self.command} {path}"] += 1
        parts = path.strip("/").split("/")
        if path == "/lab/counters":
            found = {"bytes": self.server.bytes_sent, "sent": self.server.sent, "requests": self.server.requests}
            self._send(200, json.dumps(found).encode(), "application/json")
        elif parts[0] == "v2" and len(parts) == 5 and parts[3] == "manifests":
            self._manifest(parts[1], parts[2], parts[4])
        elif parts[0] == "v2" and len(parts) == 5 and parts[3] == "blobs":
            self._blob(parts[1], parts[4])
        elif parts[0] == "cdn" and len(parts) == 3:
            self._bytes(parts[1], parts[2])
        elif path == "/token":
            self._send(200, b'{"token":"simulated"}', "application/json")
        elif path.rstrip("/") == "/v2":
            self._send(200, b"{}", "application/json")
        else:
            self._send(404, b"not found", "text/plain")

    do_HEAD = do_GET

    def _manifest(self, namespace: str, model: str, tag: str) -> None:
        if namespace.startswith("err401"):
            self._challenge(namespace)
            return
        if namespace in _ANSWERS:
            status, text = _ANSWERS[namespace]
            self._send(status, text.encode(), "text/html" if "<html>" in text else "application/json")
            return
        path = self.server.root / "manifests" / ("library" if namespace in FAULTS else namespace) / model / tag
        if not path.is_file():
            status, text = _ANSWERS["err404"]
            self._send(status, text.encode(), "application/json")
            return
        data = path.read_bytes()
        if namespace == "longmanifest":
            self._head(200, len(data) + LIE, MANIFEST_TYPE)
            self.wfile.write(data)
            self.close_connection = True
            return
        self._send(200, data[: len(data) // 2] if namespace == "shortmanifest" else data, MANIFEST_TYPE)

    def _challenge(self, namespace: str) -> None:
        here = self.headers.get("Host") or ""
        realm = {"err401b": here, "err401c": self.server.other(here)}.get(namespace)
        value = f'Bearer realm="http://{realm}/token",service="lab",scope="repository:x:pull"'
        more = {"WWW-Authenticate": value} if realm else {}
        self._send(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', "application/json", more)

    def _blob(self, namespace: str, digest: str) -> None:
        path = self._path(digest)
        if status := _asked(namespace, "blob") or (0 if path.is_file() else 404):
            self._send(status, b"blob unknown", "text/plain")
        elif self.command == "HEAD":
            lie = {"longhead": LIE, "shorthead": -LIE}.get(namespace, 0)
            size = path.stat().st_size
            self._head(200, size + (lie if size > LIE else 0), "application/octet-stream")
        elif namespace == "get500":
            self._send(500, b"blob", "text/plain")
        elif namespace == "noloc":
            self._send(200, b"", "application/octet-stream")
        else:
            here = self.headers.get("Host") or ""
            other = self.server.other(here)
            target = f"http://{other}/cdn/{namespace}/{digest}"
            if other == here and namespace != "r302":
                self._bytes(namespace, digest, {"Location": target})
            else:
                self._send(302 if namespace == "r302" else 307, b"", "text/plain", {"Location": target})

    def _bytes(self, namespace: str, digest: str, place: dict[str, str] | None = None) -> None:
        path = self._path(digest)
        if status := _asked(namespace, "cdn") or (0 if path.is_file() else 404):
            self._send(status, b"cdn", "text/plain")
            return
        size = path.stat().st_size
        wanted = self.headers.get("Range", "")
        first, last = 0, size - 1
        if wanted.startswith("bytes="):
            start, _, end = wanted[6:].partition("-")
            first, last = int(start or 0), min(int(end or last), last)
        if first >= size:
            self._send(416, b"range", "text/plain")
            return
        if namespace == "shortbody" and last - first > LIE:
            last -= LIE
        more = dict(place or {})
        if wanted:
            more |= {"Content-Range": f"bytes {first}-{last}/{size}", "Accept-Ranges": "bytes"}
        self._head(206 if wanted else 200, last - first + 1, "application/octet-stream", more)
        if self.command != "HEAD":
            with path.open("rb") as file:
                file.seek(first)
                self._copy(namespace, digest, file.read(last + 1 - first))

    def _copy(self, namespace: str, digest: str, data: bytes) -> None:
        served = self.server.sent[digest]
        if namespace == "mismatch" and len(data) > _PIECE:
            data = bytes(byte ^ 0x55 for byte in data)
        cut = namespace == "trunc" or (namespace == "trunc1" and not served)
        cut = cut or (namespace == "longbody" and len(data) > LIE)
        stop = len(data) * 2 // 3 if cut else len(data) // 4 if namespace == "stall" else len(data)
        stop = len(data) - LIE if namespace == "longbody" and cut else stop
        for position in range(0, stop, _PIECE):
            piece = data[position : min(position + _PIECE, stop)]
            self.wfile.write(piece)
            self.server.sent[digest] += len(piece)
            if namespace == "slow":
                time.sleep(len(piece) / SLOW)
        while namespace == "stall":
            time.sleep(0.2)
        if cut:
            self.close_connection = True

    def _path(self, digest: str) -> Path:
        return self.server.root / "blobs" / digest.replace(":", "-")

    def _send(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self._head(status, len(body), kind, more)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        for key, value in (more or {}).items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The counters say more than an access log."""


def _asked(namespace: str, place: str) -> int:
    """The status that a namespace such as `blob404` wants at this place, else 0."""
    status = namespace.removeprefix(place)
    return int(status) if status != namespace and status.isdigit() else 0


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="registry", description="simulated model registry")
    parser.add_argument("root", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18500)
    wanted = parser.parse_args(argv)
    from reaper_ops.lab import models

    models.publish(wanted.root)
    LabRegistry(wanted.root, wanted.host, wanted.port).serve_forever()
    return 0
