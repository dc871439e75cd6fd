"""The server's log, read for what matters: its last run, its last load, its last complaint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.signatures import KILLED, OUT_OF_MEMORY
from reaper_ops.core.doctor.signatures.model import Hit

UNIT_OOM = frozenset({"unit-oom", "unit-result-oom", "oomd-kill"})
OF_GPU = frozenset(signature.id for signature in signatures.gpu.TABLE)
TOLD_APART = OF_GPU | OUT_OF_MEMORY | KILLED
BEGINS = "starting llama-server"
"""Such a server counts a model among its runners after its load; the engines before it did so when the load began."""
_BLOB = re.compile(r"/blobs/(sha256-[0-9a-f]+)")


@dataclass(frozen=True)
class ServerLog:
    """seen: there is a log at all. failed_load: the last load attempt of this run, when memory ended it.

    failed_blob: the weights of that model, `sha256-HEX`, where the log says so. loaded_since: another model was loaded
    after that. recovered: such a failure that a later load of the same model made good, or of an unknown one.
    previous: what ended the run before, when memory did. complaint: the last line with a known cause, in any run.
    """

    seen: bool = False
    listening: Hit | None = None
    compute: Hit | None = None
    discovering: bool = False
    failed_load: Hit | None = None
    failed_blob: str = ""
    loaded_since: bool = False
    recovered: Hit | None = None
    killed_after: Hit | None = None
    previous: Hit | None = None
    complaint: Hit | None = None
    gpu: Hit | None = None
    stopped: bool = False

    @property
    def starting(self) -> bool:
        """The socket is open, but the search for GPUs has not ended: nothing is answered yet."""
        return self.listening is not None and self.discovering and self.compute is None

    def with_store(self, blobs: frozenset[str] | None) -> ServerLog:
        """A model that failed, and was removed since, while others load, is nobody's trouble any more."""
        if not (self.loaded_since and self.failed_blob) or blobs is None or self.failed_blob in blobs:
            return self
        return replace(self, failed_load=None, recovered=self.failed_load)


@lru_cache(maxsize=8)
def read(text: str | None) -> ServerLog:
    hits = signatures.hits("log", text)
    starts = [at for at, hit in enumerate(hits) if hit.signature.id == "listening"]
    begin = starts[-1] if starts else 0
    before = _run(hits[starts[-2] if len(starts) > 1 else 0 : begin])
    now = _run(hits[begin:])
    return ServerLog(
        seen=bool(text),
        listening=now.listening,
        compute=now.compute,
        discovering=now.discovering,
        failed_load=now.failed_load,
        failed_blob=now.failed_blob,
        loaded_since=now.loaded_since,
        recovered=now.recovered,
        killed_after=now.killed_after,
        previous=None if before.stopped else (before.killed_after or before.failed_load),
        complaint=now.complaint or before.complaint,
        gpu=now.gpu,
        stopped=now.stopped,
    )


def _run(hits: Sequence[Hit]) -> ServerLog:
    found: dict[str, Hit] = {}
    for hit in hits:
        _take(found, hit)
    return ServerLog(
        seen=bool(hits),
        discovering="discovering" in found,
        stopped="stopped" in found,
        failed_blob=_blob(found.get("failed_of")),
        loaded_since="loaded_since" in found,
        **{name: found.get(name) for name in _KEPT},
    )


_KEPT = ("listening", "compute", "failed_load", "recovered", "killed_after", "complaint", "gpu")


def _blob(hit: Hit | None) -> str:
    named = _BLOB.search(hit.line) if hit else None
    return named[1] if named else ""


def _loaded(found: dict[str, Hit], hit: Hit) -> None:
    """One model that loads says nothing of a larger one that did not."""
    found.pop("loading", None)
    failed, good = _blob(found.get("failed_of")), _blob(found.get("begun"))
    if "failed_load" in found and (failed == good or not failed or not good):
        found["recovered"] = found.pop("failed_load")
        found.pop("failed_of")
    elif "failed_load" in found:
        found["loaded_since"] = hit


def _take(found: dict[str, Hit], hit: Hit) -> None:
    name = hit.signature.id
    if name in OUT_OF_MEMORY or name in KILLED:
        found["failed_load"] = hit
        found["failed_of"] = hit if _blob(hit) else found.get("loading", hit)
        found.pop("loaded_since", None)
    elif name == "load-starts" and (_blob(hit) or "starting" in hit.line):
        found["begun"] = found["loading"] = hit
    elif name == "load-succeeded" or (name == "loaded-runners" and BEGINS in found.get("begun", hit).line):
        _loaded(found, hit)
    elif name in UNIT_OOM:
        found["killed_after"] = hit
    elif name == "unit-ended":
        found.pop("killed_after", None)
        found["stopped"] = hit
    elif name == "unit-killed":
        found.setdefault("killed_after", hit)
    elif name == "compute-device":
        found["compute"] = hit
    elif name in {"listening", "discovering"}:
        found[name] = hit
        found.pop("stopped", None)
    elif name in OF_GPU:
        found["gpu"] = hit
    if hit.signature.causes and name not in TOLD_APART:
        found["complaint"] = hit
