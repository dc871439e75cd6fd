"""The server's side of the registry protocol: manifest, blob size, direct URL, ranges."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from .names import LabName
from .store import MANIFEST_TYPE

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class PullError(Exception):
    """What ends a pull, in the words of the real server."""


class _Again(Exception):
    """The registry gives no address just now."""


class RegistryClient:
    def __init__(self, name: LabName, insecure: bool, agent: str) -> None:
        self._name = name
        self._base = f"{'http' if insecure else 'https'}://{name.host}/v2/{name.namespace}/{name.model}"
        self._agent = agent

    def manifest(self) -> tuple[bytes, dict[str, Any]]:
        """The manifest's bytes and its content; the caller puts ``pull model manifest:`` in front of an error."""
        status, headers, body = self._ask("GET", f"{self._base}/manifests/{self._name.tag}", MANIFEST_TYPE)
        if status == 404:
            raise PullError("file does not exist")
        if status == 401:
            raise PullError(_realm(headers, self._name.host))
        if status >= 400:
            raise PullError(f"{status}: {body.decode(errors='replace')}")
        try:
            found = json.loads(body)
        except ValueError:
            raise PullError(_malformed(body)) from None
        if not (isinstance(found, dict) and "config" in found and "layers" in found):
            raise PullError("unexpected EOF")
        return body, found

    def blob_size(self, digest: str) -> int:
        status, headers, _ = self._ask("HEAD", f"{self._base}/blobs/{digest}")
        if status == 404:
            raise PullError("file does not exist")
        if status == 401:
            raise PullError(_realm(headers, self._name.host))
        if status >= 400:
            raise PullError(f"{status}: ")
        return int(headers.get("content-length") or 0)

    def direct_url(self, digest: str, patience: float) -> str:
        """Where the bytes are. A registry in trouble is asked again for `patience` seconds."""
        until, pause = time.monotonic() + patience, 0.01
        while True:
            try:
                return self._direct_url(f"{self._base}/blobs/{digest}")
            except _Again:
                if time.monotonic() + pause > until:
                    raise PullError("context deadline exceeded") from None
                time.sleep(pause)
                pause = min(pause * 2, 10.0)

    def _direct_url(self, start: str) -> str:
        """Redirects within the host are followed, another host's address is taken."""
        url = start
        for _ in range(11):
            try:
                status, headers, _ = self._ask("GET", url, read=False)
            except PullError:
                raise _Again from None
            location = headers.get("location", "")
            target = urljoin(url, location)
            if status in _REDIRECTS and location and urlsplit(target).hostname == urlsplit(start).hostname:
                url = target
                continue
            if status >= 400:
                raise _Again
            if status not in (200, 307):
                raise PullError(f"unexpected status code {status}")
            if not location:
                raise PullError("http: no Location header in response")
            return target
        raise _Again

    def _ask(self, method: str, url: str, accept: str = "", read: bool = True) -> tuple[int, dict[str, str], bytes]:
        connection = connect(url)
        headers = {"User-Agent": self._agent}
        if accept:
            headers["Accept"] = accept
        try:
            connection.request(method, _target(url), headers=headers)
            answer = connection.getresponse()
            found = {key.lower(): value for key, value in answer.getheaders()}
            return answer.status, found, answer.read() if read else b""
        except http.client.IncompleteRead:
            raise PullError("unexpected EOF") from None
        except (OSError, http.client.HTTPException) as error:
            raise PullError(f'{method.capitalize()} "{url}": {_network(error, url)}') from None
        finally:
            connection.close()


def ranged(url: str, first: int, last: int) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """An open answer for the bytes first..last. The caller closes the connection."""
    connection = connect(url)
    try:
        connection.request("GET", _target(url), headers={"Range": f"bytes={first}-{last}"})
        return connection, connection.getresponse()
    except TimeoutError:
        connection.close()
        raise
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise OSError(f'Get "{url}": {_network(error, url)}') from None


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=30)


def _target(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _malformed(body: bytes) -> str:
    """What Go's parser says of the commonest things that are no JSON."""
    first = body[:1].decode(errors="replace")
    if first in ("", "{"):
        return "unexpected end of JSON input"
    return f"invalid character '{first}' looking for beginning of value"


def _realm(headers: dict[str, str], host: str) -> str:
    challenge = headers.get("www-authenticate", "")
    realm = challenge.partition('realm="')[2].partition('"')[0]
    found = urlsplit(realm).netloc
    if found != host:
        return f'realm host "{found}" does not match original host "{host}"'
    return "unauthorized: access denied"


def _network(error: Exception, url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {parts.hostname}: no such host"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {parts.hostname}:{port}: connect: connection refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    if isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, http.client.RemoteDisconnected, ConnectionResetError)
    ):
        return "EOF"
    if isinstance(error, ssl.SSLError):
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, TimeoutError):
        return f"dial tcp {parts.hostname}:{port}: i/o timeout"
    return str(error)
