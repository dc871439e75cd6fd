"""Quotes values for the files that we write, so that every text comes out of the reader as it went in."""

from __future__ import annotations

_YAML_BREAKS = frozenset("\x85\u2028\u2029\ufeff\ufffe\uffff")


def double_quoted(text: str) -> str:
    """A double-quoted scalar that YAML and JSON read alike."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char < " " or "\x7f" <= char <= "\x9f" or char in _YAML_BREAKS:
        return f"\\u{ord(char):04x}"
    return char


def compose(text: str) -> str:
    """As `double_quoted`, and Compose's own `$` interpolation is switched off."""
    return double_quoted(text.replace("$", "$$"))


_SYSTEMD = {"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n"}


def systemd(text: str) -> str:
    """One double-quoted word of a unit file: C escapes, and `%` is no specifier (systemd.syntax(7))."""
    return '"' + "".join(_SYSTEMD.get(char, char) for char in text) + '"'


def assignment(name: str, value: str) -> str:
    """The right side of `Environment=`; `$` has no meaning there."""
    return systemd(f"{name}={value}")
