"""Values as a hostile host may send them, and results of any type that are full of such values."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

EVIL = (
    "e\x1b]0;pwned\x07\x1b[2J\x1b[32mgreen\x1b[0m\x9b31m\x85\u202eab\u2066\u200b\u2028\u2029\ufeff\ud800\x7f\x00\b\t\rOK"
    "\nroot:0 all-ok|x=1 [bold]b[/x] [link=e.invalid]l API_KEY_OLD=CANARY-7f3a"
)
"""Titles, erasing, colours, C1, bidi, zero width, line separators, a lone surrogate, a line of its own, markup."""


def filled(kind: Any, depth: int = 0) -> Any:
    """A value of this type in which every text is hostile; a new field is hostile by itself."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind in (str, Any, object):
        return EVIL
    if kind in (int, float, bool, bytes):
        return kind(1) if kind is not bytes else EVIL.encode("utf-8", "surrogatepass")
    if origin is Literal:
        return args[0]
    if origin in (typing.Union, types.UnionType):
        some = [one for one in args if one is not type(None)]
        return filled(some[0], depth) if depth < 5 or type(None) not in args else None
    if origin in (tuple, list, frozenset, set, Sequence, Set) or kind in (tuple, list):
        if origin is tuple and args and args[-1] is not Ellipsis:
            return tuple(filled(one, depth + 1) for one in args)
        inner = args[0] if args else str
        made = [filled(inner, depth + 1)] if depth < 6 else []
        return {tuple: tuple, frozenset: frozenset, set: set, Set: frozenset}.get(origin or kind, list)(made)
    if origin in (Mapping, dict):
        return {filled(args[0], depth + 1): filled(args[1], depth + 1)} if depth < 6 else {}
    if isinstance(kind, type):
        return _made(kind, depth)
    return EVIL


def _made(kind: type, depth: int) -> Any:
    if issubclass(kind, enum.Enum):
        return list(kind)[-1]
    if issubclass(kind, BaseModel):
        return kind()
    if issubclass(kind, Path):
        return Path(EVIL.replace("\x00", ""))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{f.name: filled(hints[f.name], depth + 1) for f in dataclasses.fields(kind) if f.init})
    return EVIL


EVENTS: tuple[dict[str, Any], ...] = (
    {"event": "wanted", "hosts": {EVIL: {EVIL: 10}}},
    {"event": "start", "host": EVIL, "task": EVIL},
    {"event": "changed", "host": EVIL, "task": EVIL},
    {"event": "failed", "host": EVIL, "task": EVIL, "result": {"msg": EVIL}},
    {"event": "unreachable", "host": EVIL, "task": EVIL, "result": {"msg": EVIL}},
    {"event": "progress", "host": EVIL, "model": EVIL, "status": EVIL, "total": 10, "completed": 5},
    {"event": "progress", "host": EVIL, "model": EVIL, "status": f"failed {EVIL}", "total": 10, "completed": 6},
    {"event": "ok", "host": EVIL, "task": "Pull the models", "result": {"models": [{"name": EVIL, "error": EVIL}]}},
)


def strays(text: str) -> set[str]:
    """Characters that a terminal would obey or not show."""
    return {letter for letter in text if not letter.isprintable() and letter != "\n"}


class Sore(Exception):
    """What a field of a hostile host raises."""


def breaking(whole: Any, name: str) -> Any:
    """The same value, but one of its fields raises."""

    def get(self: Any, asked: str) -> Any:
        if asked == name:
            raise Sore(name)
        return object.__getattribute__(self, asked)

    kind = type("Breaking", (type(whole),), {"__getattribute__": get})
    made = object.__new__(kind)
    for one in dataclasses.fields(whole):
        object.__setattr__(made, one.name, getattr(whole, one.name))
    return made


def each_field(kind: Any, *ours: str) -> list[str]:
    return [one.name for one in dataclasses.fields(kind) if one.name not in ours]
