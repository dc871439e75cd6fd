"""A cheap look before an expensive pattern: whether a line can match at all."""

from __future__ import annotations

import re
import string
from functools import lru_cache

from reaper_ops.core.doctor.signatures import literals

LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
DIGITS = string.digits.encode()
KNOWN = 8192
"""Lines of which the answer is kept, for each pattern."""


def bare_of(text: str) -> bytes:
    """In lower case and without digits. What stands in a text stands bare in the bare one too; and most lines of
    a log, or of the logs of a fleet, are bare the same, so that what may fit them is found once."""
    return text.encode("utf-8", "surrogatepass").translate(LOWER, DIGITS)


class Prefilter:
    """Of several patterns. Without a sure literal in each of them every line can match."""

    def __init__(self, *patterns: re.Pattern[str]) -> None:
        found = [literals.of(pattern.pattern) for pattern in patterns]
        texts = [texts for texts in found if texts is not None]
        self._literals = tuple({bare_of(text) for one in texts for text in one}) if len(texts) == len(found) else None
        self._known = lru_cache(maxsize=KNOWN)(self._holds)

    def may_match(self, line: str) -> bool:
        return self._literals is None or self._known(bare_of(line))

    def _holds(self, line: bytes) -> bool:
        return any(literal in line for literal in self._literals or ())
