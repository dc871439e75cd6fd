"""What nobody may read in what we print or keep: replaced by the rules that hosts use before a text leaves them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from reaper_ops import assets

_LIKELY = re.compile(
    r"://|@|_proxy|token|secret|pass|auth|bearer|key|credential|cookie|signature|sig=|hf_|gh|pat|sk[-_]|nvapi|xox|npm_|AIza|AKIA|ASIA",
    re.I,
)


@cache
def _rules() -> Any:
    return assets.shared("reaper_secrets")


def redact(text: str) -> str:
    """The text with `***` in place of passwords, tokens and keys."""
    if not _LIKELY.search(text):
        return text
    found: str = _rules().redact(text)
    return found


def is_named(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return redact(f"{name}=value0123") != f"{name}=value0123"
