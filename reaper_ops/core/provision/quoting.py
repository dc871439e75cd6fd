"""Quotes values for the files that we write, so that every text comes out of the reader as it went in."""

from __future__ import annotations

_UNSAFE = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)
_SCALAR = {code: f"\\u{code:04x}" for code in _UNSAFE} | {ord('"'): '\\"', ord("\\"): "\\\\"}


def double_quoted(text: str) -> str:
    """A double-quoted scalar that YAML and JSON read alike."""
    return f'"{text.translate(_SCALAR)}"'


def compose(text: str) -> str:
    """As `double_quoted`, and Compose's own `$` interpolation is switched off."""
    return double_quoted(text.replace("$", "$$"))


_WORD = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n"})


def systemd(text: str) -> str:
    """One double-quoted word of a unit file: C escapes, and `%` is no specifier (systemd.syntax(7))."""
    return f'"{text.translate(_WORD)}"'


def assignment(name: str, value: str) -> str:
    """The right side of `Environment=`; `$` has no meaning there."""
    return systemd(f"{name}={value}")
