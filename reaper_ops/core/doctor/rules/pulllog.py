"""Downloads in the server's log: those that failed and have not started again since."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.signatures.model import Hit

_LINE = re.compile(
    r"request failed: |failed to get direct URL|(?P<layer>[0-9a-f]{12}) part \d{1,9} (?:attempt|stalled)"
    r"|downloading (?P<begun>[0-9a-f]{12}) in \d+"
)
MARKS = ("request failed: ", "failed to get direct URL", " part ", "downloading ")
_MANIFEST = re.compile(
    r"https?://(?P<host>[^/\"\\]{1,256})/v2/(?P<name>[^\"\\\s:]{1,256})/manifests/(?P<tag>[^\"\\\s]{1,128})"
)


@dataclass(frozen=True)
class Failure:
    """layer: the first 12 digits of the blob; model: as Ollama names it, where the line tells."""

    hit: Hit
    layer: str = ""
    model: str = ""


def read(text: str | None) -> tuple[Failure, ...]:
    """In the order of the log. A download that begins proves that the registry was reached: what was before is over."""
    found: list[Failure] = []
    for line in signatures.lines_with(text, *MARKS):
        mark = _LINE.search(line)
        if mark is None:
            continue
        if mark["begun"]:
            found = [failure for failure in found if failure.layer and failure.layer != mark["begun"]]
            continue
        hit = signatures.match("pull", line)
        if hit is not None:
            found.append(Failure(hit, mark["layer"] or "", model_in(line)))
    return tuple(found)


def model_in(text: str) -> str:
    """`llama3:8b` from the address of its manifest."""
    found = _MANIFEST.search(text)
    return _named(found["host"], found["name"], found["tag"]) if found else ""


def model_of(path: str, host: str = "registry.ollama.ai") -> str:
    """The same from `/v2/library/llama3/manifests/8b`."""
    return model_in(f"https://{host}{path}")


def _named(host: str, name: str, tag: str) -> str:
    if host == "registry.ollama.ai":
        return f"{name.removeprefix('library/')}:{tag}"
    return f"{host}/{name}:{tag}"
