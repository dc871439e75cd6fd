"""Answers over HTTP: what curl prints with and without -v and -i, its errors, and JSON of the API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.doctor.paste import clients
from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import LOG, PastedEvidence
from reaper_ops.core.doctor.paste.plain import document
from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.exchange import Exchange
from reaper_ops.core.facts.reported import ClientError

STEPS = {"version": "/api/version", "tags": "/api/tags", "ps": "/api/ps", "root": "/", "generate": "/api/generate"}
ASKED = re.compile(
    r"(?:https?://)?(?:[^/@\s'\"]{1,100}@)?(\[[0-9a-fA-F:.]{2,45}\]|[\w.-]{1,255})(?::([0-9]{1,5}))?(/[^\s'\"?#]{0,500})?"
)
WORDS = re.compile(r"'[^']{0,4000}'|\"[^\"]{0,4000}\"|\S{1,2000}")
VALUED = frozenset(
    {"-d", "--data", "--data-raw", "-H", "--header", "-X", "--request", "-o", "--output", "-m", "--max-time", "-u"}
)
HEAD = re.compile(r"(?:< ?)?HTTP/[0-9.]{1,3} (?P<status>[0-9]{3})\b")
HEADER = re.compile(r"(?:< ?)?(?P<name>[A-Za-z][A-Za-z-]{1,40}): (?P<value>.{0,300})$")
CURL = re.compile(r"curl: \((?P<code>[0-9]{1,2})\) ?(?P<said>.*)")
PHASES = {"refused": "connect", "timeout": "connect", "unreachable": "connect", "dns": "resolve", "tls": "tls"}
KNOWN = {
    "refused": "refused",
    "timeout": "timeout",
    "read-timeout": "timeout",
    "dns": "dns",
    "tls": "tls",
    "reset": "reset",
}
KNOWN |= {"unreachable": "unreachable", "closed": "closed", "protocol": "protocol"}
BY_CODE = {
    5: "dns",
    6: "dns",
    7: "refused",
    28: "timeout",
    35: "tls",
    52: "closed",
    56: "reset",
    60: "tls",
    18: "closed",
    1: "protocol",
}
HERE = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", "0.0.0.0"})  # noqa: S104 - compared
TOLD = frozenset({"server", "via", "location", "access-control-allow-origin", "content-type"})


def curl(block: Block, into: PastedEvidence) -> bool:
    """One command of curl or wget with all that it printed."""
    host, _port, path = asked(block.command)
    row: dict[str, Any] = {"path": path, "phase": "done", "address": host}
    body: list[str] = []
    for line in block.lines:
        _take(line.text, row, body)
        into.error(_curl_error(line.text, block.command), block, line)
    text = "\n".join(body).strip()
    if "error" not in row and not text and "status" not in row:
        return False
    row.setdefault("status", None if "error" in row else 200)
    row["body"] = text
    _server_said(text, into)
    if host in HERE:
        into.inside.append(row)
    else:
        into.outside += exchanges.rows([row])
    return True


def _take(text: str, row: dict[str, Any], body: list[str]) -> None:
    head, header, error = HEAD.match(text), HEADER.match(text), CURL.match(text)
    if head:
        row["status"], row["headers"] = int(head["status"]), {}
    elif error:
        kind = _kind(int(error["code"]), error["said"])
        row |= {"error": kind, "phase": PHASES.get(kind, "read"), "detail": text[:300]}
    elif header and "headers" in row and (text.startswith("<") or not body):
        name = header["name"].lower()
        row["content_type"] = header["value"] if name == "content-type" else row.get("content_type", "")
        if name in TOLD:
            row["headers"][name] = header["value"]
    elif not re.match(r"[*<>{}] |[*<>]$|\s{0,4}% Total|\s{1,30}Dload|[ 0-9]{1,3} {1,6}[0-9.kMG]{1,8} ", text):
        body.append(text)


def _kind(code: int, said: str) -> str:
    """By the words first: 28 is said both before and after the connection stands."""
    found = clients.error(f"curl: ({code}) {said}")
    return KNOWN.get(found.kind if found else "", "") or BY_CODE.get(code, "protocol")


def _curl_error(text: str, command: str) -> ClientError | None:
    if not CURL.match(text):
        return None
    found = clients.error(text)
    if found is None:
        return None
    host, port, path = asked(command)
    url = found.url or (f"http://{host}:{port}{path}" if host else "")
    return ClientError("curl", found.kind, found.text, url, found.host or host, found.port or port, found.status)


def asked(command: str) -> tuple[str, int | None, str]:
    """(host, port, path) that a command of curl asks for."""
    words = [word.strip("'\"") for word in WORDS.findall(command[:4000])]
    start = next(
        (at for at, word in enumerate(words) if word in {"curl", "wget", "http"} or word.endswith("/curl")), -1
    )
    skip = False
    for word in words[start + 1 :]:
        if skip or word.startswith("-"):
            skip = not skip and word in VALUED
            continue
        found = ASKED.match(word)
        if found and ("." in word or ":" in word or "/" in word or word == "localhost"):
            default = 443 if word.startswith("https:") else 80
            return found[1], int(found[2]) if found[2] else default, found[3] or "/"
    return "", None, "/"


def loose_error(block: Block, into: PastedEvidence) -> bool:
    """curl's error without the command."""
    for line in block.lines:
        found = _curl_error(line.text, block.command)
        into.error(found, block, line)
        if found is not None and found.kind in KNOWN:
            kind = KNOWN[found.kind]
            row = {
                "path": "/",
                "phase": PHASES.get(kind, "read"),
                "error": kind,
                "detail": line.text[:300],
                "address": found.host,
            }
            into.outside += exchanges.rows([row])
    return True


def is_answer(value: object) -> bool:
    return isinstance(value, Mapping) and bool({"version", "models", "error"} & set(value)) and len(value) <= 4


def answer(block: Block, into: PastedEvidence) -> bool:
    """A body of the API by itself."""
    value = block.value if isinstance(block.value, Mapping) else {}
    text = json.dumps(value)
    _server_said(text, into)
    host, _, path = asked(block.command)
    if "error" in value:
        return True
    if isinstance(value.get("models"), list):
        loaded = any(isinstance(row, Mapping) and "size_vram" in row for row in value["models"])
        path = "/api/ps" if loaded else "/api/tags"
    elif "version" in value:
        path = "/api/version"
    into.inside.append({"path": path, "phase": "done", "status": 200, "body": text, "address": host})
    return True


def _server_said(text: str, into: PastedEvidence) -> None:
    """The server's own words for what went wrong are in its log, too."""
    value = document(text) if text.startswith("{") else None
    said = value.get("error") if isinstance(value, Mapping) else None
    said = said.get("message") if isinstance(said, Mapping) else said
    if isinstance(said, str) and said:
        into.add(LOG, f"Error: {said[:2000]}".replace("\n", " "))


def exchanges_of(name: str, text: str) -> tuple[Exchange, ...]:
    """Exchanges as we write them, as a recording, or the bare body of an answer: `version.json`, `tags.json`."""
    value = document(text)
    if isinstance(value, dict) and isinstance(value.get("exchanges"), list):
        return exchanges.rows(value["exchanges"])
    if isinstance(value, dict) and "path" in value and "phase" in value:
        return exchanges.rows([value])
    if isinstance(value, dict) and isinstance(value.get("request"), dict) and isinstance(value.get("response"), dict):
        return exchanges.rows([{**value["response"], "path": value["request"].get("path"), "phase": "done"}])
    path = STEPS.get(name.removeprefix("api-"))
    if path is None or not text.strip():
        return ()
    return _answered(path, text)


def _answered(path: str, text: str) -> tuple[Exchange, ...]:
    """A body, or with its head as `curl -i` prints it."""
    head, gap, body = text.partition("\n\n")
    status = re.match(r"^HTTP/[0-9.]+ ([0-9]{3})", head)
    if not status or not gap:
        return exchanges.rows([{"path": path, "phase": "done", "status": 200, "body": text.strip()}])
    rows = (line.partition(":") for line in head.split("\n")[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in rows}
    kept = {"status": int(status[1]), "body": body.strip(), "headers": headers}
    return exchanges.rows([{"path": path, "phase": "done", "content_type": headers.get("content-type", ""), **kept}])


KINDS = (
    Kind("curl", curl, None, re.compile("(?!)"), re.compile(r"(?:^|[\s|;/])(?:curl|wget) "), whole=True),
    Kind("curl error", loose_error, re.compile(r"curl: \([0-9]{1,2}\)")),
    Kind("API answer", answer, fits=is_answer),
)
