"""Texts that every match of a pattern contains, found in the pattern itself: looking for them first is far faster.

All in lower case, to be looked for in a lower-case text: then it does not matter which parts ignore case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

SHORTEST = 3
Literals = frozenset[str]


def of(pattern: str) -> Literals | None:
    """Texts of which at least one stands in anything that the pattern matches; None when nothing is sure."""
    return _best(_required(re._parser.parse(pattern)))  # type: ignore[attr-defined]


def _best(found: Sequence[Literals]) -> Literals | None:
    """The set whose shortest text is longest; very short texts sort out too little."""
    good = [literals for literals in found if min(map(len, literals)) >= SHORTEST]
    return max(good, key=lambda literals: min(map(len, literals)), default=None)


def _required(tree: Sequence[tuple[Any, Any]]) -> list[Literals]:
    found: list[Literals] = []
    run = ""
    for operation, argument in tree:
        if str(operation) == "LITERAL":
            run += chr(argument).lower()
            continue
        found += [frozenset({run})] if run else []
        run = ""
        found += _inside(str(operation), argument)
    return [*found, frozenset({run})] if run else found


def _inside(operation: str, argument: Any) -> list[Literals]:
    if operation == "SUBPATTERN":
        return _required(argument[3])
    if operation in {"MAX_REPEAT", "MIN_REPEAT"} and argument[0] > 0:
        return _required(argument[2])
    if operation == "BRANCH":
        branches = [_best(_required(branch)) for branch in argument[1]]
        whole = [branch for branch in branches if branch is not None]
        return [frozenset().union(*whole)] if len(whole) == len(branches) else []
    return []
