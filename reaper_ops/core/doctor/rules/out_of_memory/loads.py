"""What the server's log tells of the load that ended for lack of memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.serverlog import UNIT_OOM
from reaper_ops.core.doctor.signatures import KILLED, OUT_OF_MEMORY
from reaper_ops.core.doctor.signatures.model import Hit

ENDS = OUT_OF_MEMORY | KILLED | UNIT_OOM | {"unit-killed", "runtime-oom"}
_BLOB = "/blobs/"


@dataclass(frozen=True)
class FailedLoad:
    """context: tokens asked for. weights, kv and compute in bytes, 0 where the log does not say.

    resident: models in memory when the last load before had succeeded. blob: `sha256-HEX`. reduced: the server
    itself lowered an automatic context and tried again. line: the start of the load, shortened.
    """

    line: str
    context: int = 0
    weights: int = 0
    kv: int = 0
    compute: int = 0
    resident: int = 0
    blob: str = ""
    reduced: bool = False

    def at(self, context: int) -> int:
        """What it would need with a smaller context; the cache grows in proportion."""
        return self.weights + self.compute + self.kv * context // max(self.context, 1)


def failing(case: HostEvidence) -> FailedLoad | None:
    """The last load before the last line that says memory ended something."""
    load, ended, resident, reduced = None, None, 0, False
    for hit in case.log_hits:
        name = hit.signature.id
        if name == "load-starts":
            load, reduced = _begun(hit, resident, reduced), False
        elif name == "load-parts" and load is not None:
            load = _with_parts(load, hit)
        elif name == "loaded-runners":
            resident = int(hit.groups["count"])
        elif name == "context-reduced":
            reduced = True
        elif name == "listening":
            resident = 0
        elif name in ENDS and load is not None:
            ended = load
    return ended


def _begun(hit: Hit, resident: int, reduced: bool) -> FailedLoad:
    context = next((int(hit.groups[name]) for name in ("context", "size", "kv") if name in hit.groups), 0)
    blob = hit.line.partition(_BLOB)[2].split(maxsplit=1)[0] if _BLOB in hit.line else ""
    return FailedLoad(_quoted(hit.line), context, resident=resident, blob=blob.strip('"'), reduced=reduced)


def _quoted(line: str) -> str:
    """`2026-11-23T01:29:49 msg="starting llama-server" ... -c 131072`; the rest is paths."""
    stamp = re.match(r"\d{4}-\d\d-\d\dT[\d:]+|time=\S+", line)
    said, size = re.search(r'msg=(?:"[^"]*"|\w+)', line), re.search(r"(?: -c |--ctx-size |KvSize:)\d+", line)
    words = (stamp[0] if stamp else "", said[0] if said else "", "...", size[0].strip() if size else "")
    return " ".join(word for word in words if word)


def _with_parts(load: FailedLoad, hit: Hit) -> FailedLoad:
    """One row for each device."""
    weights, kv, compute = (int(hit.groups[name]) << 20 for name in ("weights", "context", "compute"))
    return replace(load, weights=load.weights + weights, kv=load.kv + kv, compute=load.compute + compute)
