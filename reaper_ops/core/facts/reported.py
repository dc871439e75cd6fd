"""What people pasted, beyond what a host answers: errors of clients, and what each block of the text was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reaper_ops.core.facts.answers import Answers, Ask, mapping, text, whole
from reaper_ops.core.inventory.settings import Settings

REFUSED, TIMEOUT, READ_TIMEOUT, DNS, TLS, RESET = "refused", "timeout", "read-timeout", "dns", "tls", "reset"
CLOSED, UNREACHABLE, PROXY, HTTP, CORS = "closed", "unreachable", "proxy", "http", "cors"
PROTOCOL = "protocol"


@dataclass(frozen=True)
class Origin:
    """Where something is shown: file and line, whose it is (container, unit or program), when it was written."""

    part: str = ""
    line: int = 0
    owner: str = ""
    when: str = ""


@dataclass(frozen=True)
class ClientError:
    """What a client or a proxy said of its request. by: curl, ollama, requests, httpx, aiohttp, openai, node, go,
    browser, nginx, caddy, traefik, cloudflare, or a program that names itself.

    kind: refused, timeout (no connection in time), read-timeout (connected, no answer in time), dns, tls, reset,
    closed, unreachable, proxy, http (status says which), cors, protocol. url is what was asked, as far as it is said;
    host and port are where the connection went.
    """

    by: str
    kind: str
    text: str
    url: str = ""
    host: str = ""
    port: int | None = None
    status: int | None = None
    origin: Origin = Origin()


@dataclass(frozen=True)
class ListedFile:
    """A row of `ls -l`: mode as it is printed there, names of owner and group; target of a link."""

    path: str
    mode: str
    owner: str = ""
    group: str = ""
    size: int | None = None
    target: str = ""


@dataclass(frozen=True)
class PastedBlock:
    """A block of pasted text. kind: what it was recognized as, empty where nobody knows it; hint: what would help."""

    part: str
    first: int
    last: int
    kind: str = ""
    command: str = ""
    hint: str = ""


def asks(settings: Settings) -> list[Ask]:
    """A host is not asked for this."""
    return []


def parse(answers: Answers) -> dict[str, Any]:
    return {
        "client_errors": tuple(map(_error, _rows(answers, "client-errors"))),
        "listed": tuple(map(_listed, _rows(answers, "listed"))),
        "shown": tuple(map(_block, _rows(answers, "shown"))),
    }


def _rows(answers: Answers, id_: str) -> list[Mapping[str, Any]]:
    rows = answers.get(id_).get("rows")
    return [mapping(row) for row in rows] if isinstance(rows, list) else []


def _error(row: Mapping[str, Any]) -> ClientError:
    by, kind, said, url, host = (text(row.get(name)) or "" for name in ("by", "kind", "text", "url", "host"))
    return ClientError(by, kind, said, url, host, whole(row.get("port")), whole(row.get("status")), _origin(row))


def _origin(row: Mapping[str, Any]) -> Origin:
    given = mapping(row.get("origin"))
    part, owner, when = (text(given.get(name)) or "" for name in ("part", "owner", "when"))
    return Origin(part, whole(given.get("line")) or 0, owner, when)


def _listed(row: Mapping[str, Any]) -> ListedFile:
    path, mode, owner, group, target = (
        text(row.get(name)) or "" for name in ("path", "mode", "owner", "group", "target")
    )
    return ListedFile(path, mode, owner, group, whole(row.get("size")), target)


def _block(row: Mapping[str, Any]) -> PastedBlock:
    part, kind, command, hint = (text(row.get(name)) or "" for name in ("part", "kind", "command", "hint"))
    return PastedBlock(part, whole(row.get("first")) or 0, whole(row.get("last")) or 0, kind, command, hint)
