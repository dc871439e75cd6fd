"""Model names: ``[host[:port]/][namespace/]model[:tag]``, and the digests of blobs."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_HOST = "registry.ollama.ai"
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class LabName:
    host: str
    namespace: str
    model: str
    tag: str

    @property
    def full(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def short(self) -> str:
        """What the lists show: defaults left out."""
        if self.host != DEFAULT_HOST:
            return self.full
        if self.namespace != "library":
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def path(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}/{self.tag}"


def parse(text: str) -> LabName | None:
    """The name, or None where the real server says that it is invalid."""
    rest = text.split("://", 1)[1] if "://" in text else text
    parts = rest.split("/")
    last, _, tag = parts[-1].partition(":")
    if len(parts) > 3 or (":" in parts[-1] and not tag):
        return None
    host = parts[0] if len(parts) == 3 else DEFAULT_HOST
    namespace = parts[-2] if len(parts) > 1 else "library"
    name = LabName(host, namespace, last, tag or "latest")
    good = (
        _HOST.fullmatch(name.host)
        and _NAMESPACE.fullmatch(name.namespace)
        and _PART.fullmatch(name.model)
        and _PART.fullmatch(name.tag)
    )
    return name if good else None


def hex_digest(text: str) -> str | None:
    match = _DIGEST.fullmatch(text)
    return match[1].lower() if match else None
