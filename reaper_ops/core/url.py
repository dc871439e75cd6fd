"""Base URLs by Ollama's own rules (envconfig.Host): what a client dials for what a user wrote."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from reaper_ops.errors import ReaperError

DEFAULT_PORTS = {"": 11434, "http": 80, "https": 443}
_HOST = re.compile(r"^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$")


@dataclass(frozen=True)
class BaseUrl:
    """assumed_port: the port came from the scheme alone, which is rarely what was meant."""

    scheme: str
    host: str
    port: int
    path: str = ""
    assumed_port: bool = False

    @property
    def netloc(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"


def parse(text: str) -> BaseUrl:
    """No scheme means port 11434, ``http://`` 80, ``https://`` 443; 0.0.0.0 and :: mean loopback."""
    written = text.strip().strip("\"'").strip()
    scheme, separator, rest = written.partition("://")
    scheme, rest = (scheme.lower(), rest) if separator else ("", written)
    if scheme not in DEFAULT_PORTS:
        raise ReaperError(text, f"the scheme {scheme!r} is not http or https", "write http://HOST:11434")
    if written == "ollama.com":
        scheme = "https"
    netloc, _, path = rest.partition("/")
    if "@" in netloc or "?" in rest or "#" in rest:
        raise ReaperError(text, "has a user, query or fragment", "write http://HOST:11434")
    host, port = _split(text, netloc)
    return BaseUrl(
        scheme or "http",
        _client_host(host),
        DEFAULT_PORTS[scheme] if port is None else port,
        _path(text, path),
        assumed_port=bool(scheme) and port is None,
    )


def _split(text: str, netloc: str) -> tuple[str, int | None]:
    if netloc.startswith("["):
        host, closed, rest = netloc[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ReaperError(text, "has an IPv6 address without its closing bracket", "write http://[::1]:11434")
        return _address(text, host), _port(text, rest[1:])
    if netloc.count(":") > 1:
        return _address(text, netloc), None
    host, _, port = netloc.partition(":")
    if host and not _HOST.match(host):
        raise ReaperError(text, f"{host!r} is not a host name", "write http://HOST:11434")
    return host, _port(text, port)


def _address(text: str, host: str) -> str:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ReaperError(text, f"{host!r} is not an IPv6 address", "write http://[::1]:11434") from None
    return host


def _port(text: str, port: str) -> int | None:
    if not port:
        return None
    digits = port.lstrip("0")
    if not (port.isascii() and port.isdigit() and len(digits) <= 5 and 0 < int(digits or 0) <= 65535):
        raise ReaperError(text, f"{port!r} is not a port", "Ollama itself would use its default; write 1 to 65535")
    return int(digits)


def _path(text: str, path: str) -> str:
    if any(ord(letter) <= 32 or ord(letter) > 126 for letter in path):
        raise ReaperError(text, "has a blank or a non-ASCII letter in its path", "write http://HOST:11434")
    kept = path.strip("/")
    return f"/{kept}" if kept else ""


def _client_host(host: str) -> str:
    if host in {"", "0.0.0.0"}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if ":" in host and ipaddress.IPv6Address(host).is_unspecified:
        return "::1"
    return host.lower()
