"""Text that a person copied out of a terminal, a ticket or a chat: made plain, without guessing at what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.exchange import Exchange

ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
FENCE = re.compile(r"^(?:```\w*|~~~\w*)\s*$")
TOOLS = (
    r"(?:sudo|journalctl|systemctl|docker|podman|ss|ps|cat|curl|dmesg|mount|grep|nft|iptables|ufw|free|ls|nvidia-smi)"
)
PROMPT = re.compile(
    r"^(?:\(\S{1,64}\) )?(?:\[?[\w.-]{1,64}@[\w.-]{1,64}[^\n$#%>]{0,256}[$#%>] ?(?:\S.*)?|[$%❯➜] \S.*|# ?"
    + TOOLS
    + r"\b.*)$"
)
LONGEST = 4000
"""Characters of a line: MAX_LINE of playbooks/module_utils/reaper_host.py."""
STEPS = {"version": "/api/version", "tags": "/api/tags", "ps": "/api/ps", "root": "/", "generate": "/api/generate"}


def cleaned(text: str) -> str:
    """Without colours, carriage returns, byte order mark, code fences and the lines of a shell's prompt."""
    plain = ESCAPES.sub("", text.removeprefix("\ufeff")).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\n")
    lines = [line for line in plain.split("\n") if not (FENCE.match(line) or PROMPT.match(line))]
    return "\n".join(lines)


def inferred(texts: Mapping[str, str], found: Mapping[str, Any]) -> dict[str, Any]:
    """Our container's own answer, out of what was pasted of all of them."""
    rows = _json(texts.get("docker-inspect.json", ""))
    rows = [rows] if isinstance(rows, dict) else rows if isinstance(rows, list) else []
    named = [row for row in rows if isinstance(row, dict)]
    ours = [row for row in named if row.get("Name") == "/ollama"] or named
    if not ours or "container" in found:
        return {}
    return {"container": {"rc": 0, "stdout": json.dumps(ours[:1]), "stderr": ""}}


def exchanges_of(name: str, text: str) -> tuple[Exchange, ...]:
    """Exchanges as we write them, as a recording, or the bare body of an answer: `version.json`, `tags.json`."""
    value = _json(text)
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


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def cut(text: str) -> str:
    """Of a long line the beginning, as what a host reads is cut there."""
    return text if len(text) <= LONGEST else "\n".join(line[:LONGEST] for line in text.split("\n"))
