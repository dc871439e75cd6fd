"""The words of the program: ``ollama serve``, ``--version``, ``list``, ``ps``, ``pull``."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from typing import Any

from . import VERSION, config, log, names

_REFUSED = "Error: could not connect to ollama server, run 'ollama serve' to start it"
_USAGE = "Usage:\n  ollama [command]\n\nAvailable Commands: serve, list, ps, pull (simulated by the reaper_ops lab)"


def main(argv: list[str], version: str = VERSION, program: str = "") -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL) if argv[:1] != ["serve"] else None
    words = argv[0] if argv else "help"
    if words in ("serve", "start"):
        from .serve import serve

        return serve(config.from_env(os.environ), version, program or os.path.abspath(sys.argv[0]))
    if words in ("-v", "--version"):
        return _version(version)
    if words in ("list", "ls", "ps", "pull", "rm"):
        try:
            return _client(words, argv[1:])
        except OSError:
            _complain(_REFUSED)
            return 1
    print(_USAGE)
    return 0 if words in ("help", "-h", "--help") else 1


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")


def _ask(method: str, path: str, body: dict[str, Any] | None = None) -> http.client.HTTPResponse:
    wanted = config.from_env(os.environ)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(wanted.host, wanted.host)
    connection = http.client.HTTPConnection(host, wanted.port, timeout=600)
    connection.request(method, path, json.dumps(body) if body else None)
    return connection.getresponse()


def _version(version: str) -> int:
    try:
        running = json.loads(_ask("GET", "/api/version").read()).get("version", "")
    except (OSError, ValueError, http.client.HTTPException):
        running = ""
        print("Warning: could not connect to a running Ollama instance")
    if running:
        print(f"ollama version is {running}")
    if running != version:
        print(f"Warning: client version is {version}")
    return 0


def _client(word: str, rest: list[str]) -> int:
    if word == "pull":
        return _pull(rest)
    if word == "rm":
        answer = _ask("DELETE", "/api/delete", {"model": rest[0] if rest else ""})
        if answer.status != 200:
            _complain("Error: " + json.loads(answer.read())["error"])
            return 1
        print(f"deleted '{rest[0]}'")
        return 0
    rows = json.loads(_ask("GET", "/api/tags" if word in ("list", "ls") else "/api/ps").read()).get("models") or []
    if word == "ps":
        _table([("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"), *map(_running, rows)])
    else:
        _table([("NAME", "ID", "SIZE", "MODIFIED"), *map(_listed, rows)])
    return 0


def _listed(row: dict[str, Any]) -> tuple[str, ...]:
    return row["name"], row["digest"][:12], log.decimal_size(row["size"]), row["modified_at"][:19]


def _running(row: dict[str, Any]) -> tuple[str, ...]:
    share = round(100 * row["size_vram"] / row["size"]) if row["size"] else 0
    where = {0: "100% CPU", 100: "100% GPU"}.get(share, f"{100 - share}%/{share}% CPU/GPU")
    size = log.decimal_size(row["size"])
    return row["name"], row["digest"][:12], size, where, str(row["context_length"]), row["expires_at"][:19]


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("    ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _pull(rest: list[str]) -> int:
    wanted = [word for word in rest if not word.startswith("-")]
    if len(wanted) != 1 or not names.parse(wanted[0]):
        _complain("Error: invalid model name")
        return 1
    answer = _ask("POST", "/api/pull", {"model": wanted[0], "insecure": "--insecure" in rest})
    last = ""
    for line in answer:
        found = json.loads(line)
        if "error" in found:
            _complain("Error: " + found["error"])
            return 1
        if found["status"] != last:
            last = found["status"]
            _complain(last)
    return 0 if last == "success" else 1
