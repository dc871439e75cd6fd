"""Log and error texts of Ollama, systemd, the kernel and GPU stacks: tables, each row with a real sample.

Matching English is the last resort, where neither errno nor status nor JSON says it; so it all lives here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from reaper_ops.core.signatures import gpu, memory, pull, reach, server, slow, storage, web
from reaper_ops.core.signatures.model import Hit, Signature

TABLE = (*memory.TABLE, *gpu.TABLE, *server.TABLE, *slow.TABLE, *pull.TABLE, *reach.TABLE, *storage.TABLE, *web.TABLE)
OUT_OF_MEMORY = frozenset(
    {"ram-preflight", "ram-too-large", "vram-oom-startup", "vram-oom", "gpu-oom-other", "ram-malloc"}
)
KILLED = frozenset({"runner-killed", "runner-gone-killed"})


@cache
def _compiled(where: str) -> tuple[tuple[Signature, re.Pattern[str]], ...]:
    return tuple((s, re.compile(s.pattern)) for s in TABLE if where in s.where.split())


@cache
def pattern(id_: str) -> re.Pattern[str]:
    """The one of this id, for a rule that looks for nothing else."""
    return next(re.compile(signature.pattern) for signature in TABLE if signature.id == id_)


def match(where: str, line: str) -> Hit | None:
    """The first signature of the table that fits the line."""
    for signature, pattern in _compiled(where):
        found = pattern.search(line)
        if found:
            return Hit(signature, line.strip(), {k: v for k, v in found.groupdict().items() if v is not None})
    return None


def only(id_: str, line: str) -> Hit | None:
    """What the one signature of this name finds in the line."""
    signature, pattern = _by_id()[id_]
    found = pattern.search(line)
    if not found:
        return None
    return Hit(signature, line.strip(), {k: v for k, v in found.groupdict().items() if v is not None})


@cache
def _by_id() -> dict[str, tuple[Signature, re.Pattern[str]]]:
    return {s.id: (s, re.compile(s.pattern)) for s in TABLE}


def hits(where: str, text: str | None) -> Iterator[Hit]:
    """Every line of a log that a signature fits, in order."""
    for line in (text or "").splitlines():
        found = match(where, line)
        if found:
            yield found


def engine(version: str | None) -> str:
    """``old`` up to 0.24, ``new`` from 0.30 (nothing lies between), empty when the version says nothing."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    if not found or (int(found[1]), int(found[2])) == (0, 0):
        return ""
    return "new" if (int(found[1]), int(found[2])) >= (0, 30) else "old"
