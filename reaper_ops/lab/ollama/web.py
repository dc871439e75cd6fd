"""HTTP as the real server speaks it: Go's JSON, its status texts, chunked streams, host and origin checks."""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import select
import socket
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

from . import log
from .app import ApiError, App

NDJSON = "application/x-ndjson"
_SMALL = 2048
_KINDS = {str: "string", int: "number", float: "number", bool: "bool", list: "array", dict: "object"}
_PLAIN_JSON = "application/json"


class HungUp(Exception):
    """The client went away."""


def dumps(value: Any) -> str:
    """JSON as Go writes it: no blanks, and < > & escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class ServedExchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    app: App
    timeout = 600

    def route(self, method: str, path: str) -> tuple[Callable[[Any], None] | None, bool]:
        """The handler, and whether the path is known at all."""
        raise NotImplementedError

    def mute(self) -> bool:
        """Faults of the whole port. True: the connection ends without an answer."""
        raise NotImplementedError

    def error_body(self, error: ApiError) -> dict[str, Any]:
        raise NotImplementedError

    def _serve(self) -> None:
        started = time.monotonic()
        self.status = 0
        self.plain_json = False
        self._raw: bytes | None = None
        self.path_only = unquote(self.requestline.split()[1].partition("?")[0])
        try:
            if self.mute():
                self.close_connection = True
                return
            self._dispatch()
        except ApiError as error:
            self.send_json(error.status, self.error_body(error))
        except (HungUp, BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            self.status = self.status or 499
        log.access(self.status, time.monotonic() - started, self.client_address[0], self.command, self.path_only)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _serve

    def _dispatch(self) -> None:
        if not self._origin_allowed() or not self._host_allowed():
            return
        path = self.path_only
        if "//" in path or (len(path) > 1 and path.endswith("/")):
            fixed = "/" + "/".join(part for part in path.split("/") if part)
            if self.route(self.command, fixed)[0] is not None:
                self._moved(fixed)
                return
        found, known = self.route(self.command, path)
        if found:
            found(self)
        elif known:
            self.send_body(405, b"405 method not allowed", "text/plain")
        else:
            self.send_body(404, b"404 page not found", "text/plain")

    def _moved(self, fixed: str) -> None:
        status = 301 if self.command in ("GET", "HEAD") else 307
        words = "Moved Permanently" if status == 301 else "Temporary Redirect"
        body = f'<a href="{fixed}">{words}</a>.\n\n' if self.command == "GET" else ""
        self.send_body(status, body.encode(), "text/html; charset=utf-8" if body else "", {"Location": fixed})

    def _origin_allowed(self) -> bool:
        origin = self.headers.get("Origin")
        if not origin or origin.partition("://")[2] == self.headers.get("Host"):
            return True
        if not any(fnmatch.fnmatchcase(origin, pattern) for pattern in self.app.config.origins):
            self.send_body(403, b"", "")
            return False
        if self.command == "OPTIONS":
            self.send_body(204, b"", "", {"Access-Control-Allow-Origin": origin})
            return False
        return True

    def _host_allowed(self) -> bool:
        host = self.headers.get("Host") or ""
        if not self.app.config.loopback or _local(host.rpartition(":")[0] if _has_port(host) else host):
            return True
        self.send_body(403, b"", "")
        return False

    def raw_body(self) -> bytes:
        if self._raw is None:
            if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
                self._raw = b"".join(self._chunks())
            else:
                self._raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return self._raw

    def _chunks(self) -> Iterable[bytes]:
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def json_body(self, kind: str, empty: str = "missing request body") -> dict[str, Any]:
        """The request as an object; what Go's decoder says where it is none."""
        raw = self.raw_body()
        if not raw.strip():
            raise ApiError(400, empty)
        text = raw.decode("utf-8", "replace")
        try:
            found, _ = json.JSONDecoder().raw_decode(text.lstrip())
        except json.JSONDecodeError as error:
            raise ApiError(400, _syntax(text.lstrip(), error)) from None
        if not isinstance(found, dict):
            raise ApiError(
                400, f"json: cannot unmarshal {_KINDS.get(type(found), 'null')} into Go value of type api.{kind}"
            )
        for key in ("model", "name", "prompt", "source", "destination"):
            value = found.get(key)
            if value is not None and not isinstance(value, str) and not (key == "prompt" and kind.startswith("openai")):
                got = _KINDS.get(type(value), "null")
                text = f"json: cannot unmarshal {got} into Go struct field {kind}.{key} of type string"
                raise ApiError(400, text)
        return found

    def gone(self) -> bool:
        """Whether the client closed the connection while we work."""
        try:
            if not select.select([self.connection], [], [], 0)[0]:
                return False
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def send_json(self, status: int, value: Any) -> None:
        body = dumps(value)
        if self.plain_json:
            self.send_body(status, body.encode() + (b"\n" if self.path_only.startswith("/v1") else b""), _PLAIN_JSON)
        else:
            self.send_body(status, body.encode(), "application/json; charset=utf-8")

    def send_body(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.status = status
        self._head(status, kind, more)
        chunked = len(body) > _SMALL and self.command != "HEAD" and self.request_version != "HTTP/1.0"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response_only(status, None if status != 499 else "")
        self.send_header("Date", self.date_time_string())
        if kind:
            self.send_header("Content-Type", kind)
        for key, value in (more or {}).items():
            self.send_header(key, value)

    def stream(self, kind: str, pieces: Iterable[str]) -> None:
        """A chunked answer, each piece a chunk; an ApiError before the first piece is an answer of its own."""
        iterator = iter(pieces)
        first = next(iterator, None)
        self.status = 200
        self._head(200, kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while first is not None:
                data = first.encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                first = next(iterator, None)
        except ApiError as error:
            data = (dumps({"error": error.text}) + "\n").encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        finally:
            close: Callable[[], None] | None = getattr(iterator, "close", None)
            if close:
                close()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """The access line of the real server takes its place."""


def _has_port(host: str) -> bool:
    return ":" in host and host.rpartition(":")[2].isdigit() and (host.count(":") == 1 or "]:" in host)


def _local(host: str) -> bool:
    host = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        known = ("", "localhost", socket.gethostname().lower())
        return host in known or host.endswith((".localhost", ".local", ".internal"))
    documentation = any(address in ipaddress.ip_network(net) for net in _DOCUMENTATION if address.version == 4)
    return (address.is_loopback or address.is_private or address.is_unspecified) and not documentation


_DOCUMENTATION = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "240.0.0.0/4")


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text) or "Unterminated" in error.msg or not text[error.pos :].strip():
        return "unexpected EOF"
    return f"invalid character '{text[error.pos]}' looking for beginning of value"
