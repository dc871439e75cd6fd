"""Texts for a web page. What hosts said is cut to a length and cannot hide, reorder or blank what stands beside it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from reaper_ops.core.secrets import redact

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str, limit: int) -> str:
    """Control characters are written out; a middle that is too long is left out. Jinja escapes the rest."""
    text = redact(text)
    if len(text) > limit:
        text = f"{text[: limit - limit // 3]} … {text[-(limit // 3) :]}"
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def moment(seconds: float) -> str:
    """A time that is not known, or of no year that is written in four digits, is a dash."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else "–"
    except (ValueError, OverflowError, OSError):
        return "–"
