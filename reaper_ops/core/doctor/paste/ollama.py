"""Tables of the ollama program, as the answers of the API that they are made from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from reaper_ops.core.doctor.paste import clients
from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import PastedEvidence

SIZE = r"(?P<size>[0-9.]{1,8}) (?P<unit>[KMGT]?i?B)"
LOADED = re.compile(
    r"(?P<name>\S{1,256})\s{1,80}(?P<id>[0-9a-f]{12})\s{1,20}" + SIZE + r"\s{1,20}"
    r"(?:(?P<only>100)% (?P<where>GPU|CPU)"
    r"|(?P<cpu>[0-9]{1,3})%/(?P<gpu>[0-9]{1,3})% "
    r"CPU/GPU)(?:\s{1,20}(?P<context>[0-9]{2,9}))?\s{1,20}(?P<until>\S.{0,60})"
)
ROW = (
    r"\A[\w./:-]{1,256}\s{1,80}[0-9a-f]{12}\s{1,20}[0-9.]{1,8} [KMGT]?i?B\s{1,20}"
    r"(?:100% (?:GPU|CPU)|[0-9]{1,3}%/[0-9]{1,3}% CPU/GPU)"
)
"""One without the heading."""
LISTED = re.compile(
    r"(?P<name>\S{1,256})\s{1,80}(?P<id>[0-9a-f]{12})\s{1,20}(?:" + SIZE + r"|-)\s{1,20}(?P<when>\S.{0,60})"
)
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
VERSION = re.compile(r"ollama version is (\S{1,40})")
CLIENT = re.compile(r"Warning: client version is (\S{1,40})")


def bytes_of(number: str, unit: str) -> int:
    return int(float(number) * UNITS.get(unit, 1)) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", number) else 0


def loaded(block: Block, into: PastedEvidence) -> bool:
    models: list[dict[str, Any]] = []
    for line in block.lines:
        found = LOADED.match(line.text.strip())
        if found:
            size = bytes_of(found["size"], found["unit"])
            share = int(found["gpu"]) if found["gpu"] else 100 if found["where"] == "GPU" else 0
            row = {"name": found["name"], "model": found["name"], "digest": found["id"], "size": size}
            row["size_vram"] = size * share // 100
            models.append(row | ({"context_length": int(found["context"])} if found["context"] else {}))
    _answer(into, "/api/ps", {"models": _with_earlier(models, into)})
    return True


def _with_earlier(models: list[dict[str, Any]], into: PastedEvidence) -> list[dict[str, Any]]:
    """What several tables show, one after the other; of a model that stands in more than one the last row."""
    before = [json.loads(answer["body"])["models"] for answer in into.inside if answer["path"] == "/api/ps"]
    into.inside[:] = [answer for answer in into.inside if answer["path"] != "/api/ps"]
    names = {row["name"] for row in models}
    return [*(row for row in (before[-1] if before else []) if row["name"] not in names), *models]


def listed(block: Block, into: PastedEvidence) -> bool:
    rows = [found for line in block.lines if (found := LISTED.match(line.text.strip()))]
    models = [{"name": r["name"], "digest": r["id"], "size": bytes_of(r["size"] or "", r["unit"] or "")} for r in rows]
    _answer(into, "/api/tags", {"models": models})
    return True


def version(block: Block, into: PastedEvidence) -> bool:
    found, client = VERSION.search(block.text), CLIENT.search(block.text)
    if found:
        _answer(into, "/api/version", {"version": found[1]})
    for line in block.lines:
        said = clients.error(line.message)
        into.error(replace(said, by="ollama") if said else None, block, line)
    if client:
        into.add("binaries", f"/usr/local/bin/ollama\tollama version is {client[1]}")
    return bool(found or client)


def _answer(into: PastedEvidence, path: str, body: dict[str, Any]) -> None:
    into.inside.append(
        {
            "path": path,
            "phase": "done",
            "status": 200,
            "body": json.dumps(body),
            "detail": "as the ollama program shows it",
        }
    )


KINDS = (
    Kind("ollama ps", loaded, re.compile(rf"NAME\s{{1,80}}ID\s{{1,20}}SIZE\s{{1,20}}PROCESSOR\b|{ROW}"), LOADED),
    Kind("ollama list", listed, re.compile(r"NAME\s{1,80}ID\s{1,20}SIZE\s{1,20}MODIFIED\b"), LISTED),
    Kind("ollama version", version, re.compile(r"ollama version is |Warning: client version is ")),
)
