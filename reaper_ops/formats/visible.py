"""Text from outside on its way to a terminal: nothing in it moves the cursor, hides, reorders or paints.

Own colors carry a mark that only this process knows, so that the place of output tells them from foreign ones.
"""

from __future__ import annotations

import os
import re

from reaper_ops.core.secrets import redact

_MARK = str(10**8 + int.from_bytes(os.urandom(4), "big") % 10**8)
_OWN = re.compile(rf"\x1b\[{_MARK};([0-9]{{1,2}})m")


def one_line(text: object) -> str:
    """A value as one inert word or sentence: also its line ends and tabs are written out."""
    found = redact(str(text))
    return found if found.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in found)


def field(text: object) -> str:
    """A value in a row whose fields are divided by spaces."""
    return one_line(text).replace(" ", "\\x20")


def lines(text: str) -> str:
    """Lines of our own, with what may stand in them; only line feeds and tabs remain."""
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def painted(text: str, code: str) -> str:
    """Our own color around a text."""
    return f"\x1b[{_MARK};{code}m{text}\x1b[{_MARK};0m"


def printable(text: str) -> str:
    """What may be written to a terminal: our own colors, no secret, and everything else visible."""
    text = redact(text)
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    parts = _OWN.split(text)
    return "".join(f"\x1b[{part}m" if place % 2 else lines(part) for place, part in enumerate(parts))
