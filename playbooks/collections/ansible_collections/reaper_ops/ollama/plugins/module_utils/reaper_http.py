"""HTTP requests as raw exchanges: how far each got, and the class of error that ended it."""

import errno
import http.client
import json
import socket
import ssl
import time
import urllib.parse

from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_deadline import ending
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_secrets import brief, redact

MAX_BODY = 1024 * 1024
OWN = "own.address"
TELLING = ("server", "via", "location", "access-control-allow-origin")
UNREACHABLE = (
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
)


def read_http(host, ask):
    """The exchange of each request. Tries all addresses of the name, up to the first that connects.

    A request with `on: odd` is sent after an answer other than 200; after a broken exchange, none is sent.
    """
    url = urllib.parse.urlsplit(
        ask["base_url"].replace(OWN, own_address()) if OWN in ask["base_url"] else ask["base_url"]
    )
    port = url.port or (443 if url.scheme == "https" else 80)
    first = ask["requests"][0].get("path", "/")
    began = time.monotonic()
    try:
        found = socket.getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        return {"exchanges": [failed(first, "resolve", exc, "", began)]}
    addresses = list(dict.fromkeys((item[0], item[4]) for item in found))
    exchanges, working = [], None
    for request in ask["requests"]:
        if exchanges and (request.get("on") == "odd") == (exchanges[-1]["status"] == 200):
            continue
        for address in [working] if working else addresses:
            exchange = Exchange(host, url, address, float(ask.get("connect_timeout", 2))).send(request)
            exchanges.append(exchange)
            if exchange["phase"] not in ("connect", "resolve"):
                working = address
                break
        if exchanges[-1]["phase"] != "done":
            break
    return {"exchanges": exchanges}


def own_address():
    """The address that others see of this host; determined without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


def failed(path, phase, exc, address, began):
    return {
        "path": path,
        "phase": phase,
        "error": error_class(exc),
        "detail": brief(str(exc), 300),
        "errno": getattr(exc, "errno", None),
        "address": address,
        "status": None,
        "content_type": "",
        "body": "",
        "headers": {},
        "elapsed_ms": round((time.monotonic() - began) * 1000, 1),
    }


def telling(response):
    """The headers that identify what answered."""
    shown = [(name.lower(), brief(value, 300)) for name, value in response.getheaders()]
    return {name: value for name, value in shown if name in TELLING}


def error_class(exc):
    number = getattr(exc, "errno", None)
    if isinstance(exc, (socket.gaierror, UnicodeError)):
        return "dns"
    if isinstance(exc, socket.timeout) or number == errno.ETIMEDOUT:
        return "timeout"
    if isinstance(exc, ssl.SSLError):
        return "tls"
    if isinstance(exc, (http.client.RemoteDisconnected, http.client.IncompleteRead)):
        return "closed"
    if isinstance(exc, (http.client.HTTPException, ValueError)):
        return "protocol"
    if number == errno.ECONNREFUSED:
        return "refused"
    if number in (errno.ECONNRESET, errno.EPIPE):
        return "reset"
    return "unreachable" if number in UNREACHABLE else "protocol"


class Exchange:
    """One request over one fresh connection to one address; no proxy, no redirect."""

    def __init__(self, host, url, address, connect_timeout):
        self.host, self.url, self.family, self.target = host, url, address[0], address[1]
        self.connect_timeout = connect_timeout
        self.phase = "connect"

    def send(self, request):
        path, began = request.get("path", "/"), time.monotonic()
        result = failed(path, "connect", Exception(), str(self.target[0]), began)
        result.update(error="", detail="")
        link = None
        try:
            link = self.connect()
            with ending(link, self.host.left(began + float(request.get("timeout", 5)) - time.monotonic())):
                self.talk(link, request, result, began)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            kept = {name: result[name] for name in ("status", "content_type", "body", "headers")}
            result = dict(failed(path, self.phase, exc, str(self.target[0]), began), **kept)
        finally:
            if link is not None:
                link.close()
        result["elapsed_ms"] = round((time.monotonic() - began) * 1000, 1)
        return result

    def connect(self):
        link = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            link.settimeout(self.host.left(self.connect_timeout))
            link.connect(self.target)
            if self.url.scheme == "https":
                self.phase = "tls"
                return ssl.create_default_context().wrap_socket(link, server_hostname=self.url.hostname)
        except BaseException:
            link.close()
            raise
        return link

    def talk(self, link, request, result, began):
        until = began + float(request.get("timeout", 5))
        connection = http.client.HTTPConnection(self.url.netloc.rpartition("@")[2])
        connection.sock = link
        self.phase = "send"
        link.settimeout(self.host.left(until - time.monotonic()))
        body = request.get("body")
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode("utf-8")
        headers = {"Content-Type": "application/json"} if data is not None else {}
        headers.update(request.get("headers") or {})
        path = self.url.path.rstrip("/") + request.get("path", "/")
        connection.request(request.get("method", "GET"), path, body=data, headers=headers)
        self.phase = "read"
        response = connection.getresponse()
        result.update(status=response.status, content_type=(response.getheader("Content-Type") or "")[:300])
        result["headers"] = telling(response)
        limit, raw = int(request.get("max_bytes", MAX_BODY)), bytearray()
        try:
            while len(raw) < limit and not response.isclosed():
                if time.monotonic() >= until:
                    raise socket.timeout("timed out")
                link.settimeout(self.host.left(until - time.monotonic()))
                chunk = response.read1(min(65536, limit - len(raw)))
                if not chunk:
                    break
                raw += chunk
        finally:
            result["body"] = redact(bytes(raw).decode("utf-8", "replace"))
        if response.length and len(raw) < limit:
            raise http.client.IncompleteRead(bytes(raw), response.length)
        result["phase"] = "done"
