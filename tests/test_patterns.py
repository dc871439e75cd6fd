"""No pattern that sees outside text takes more than its length in time: measured by ratios, on lines made from it.

Patterns are found, not listed: what any module compiles or hands to `re`, in the package and in the playbooks.
"""

from __future__ import annotations

import ast
import itertools
import re
import runpy
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from reaper_ops import assets
from reaper_ops.core.doctor import bundle
from reaper_ops.core.doctor import paste as pasted
from reaper_ops.core.doctor.signatures import TABLE

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("reaper_ops/core", "reaper_ops/formats", "reaper_ops/adapters", "reaper_ops/flows", "reaper_ops/cli")
FOLDERS += ("reaper_ops/verify", "playbooks")
WHOLE = frozenset({"match", "fullmatch"})
CALLS = frozenset({"compile", "search", "match", "fullmatch", "sub", "findall", "finditer", "split"})
SIZE, TIMES = 4000, 4
QUADRATIC = 9.0
"""Four times the length takes four times as long, or sixteen times where it is quadratic."""
NOISE = 0.005
ATTEMPTS = 6
"""A pattern that is worse than linear is so each time; other work on the machine is not there each time."""
DEAR = 6.0
"""The dearest line of our own cut may cost so many times what 100 letters of looking ahead at each letter cost."""
FLAGS = {
    "I": re.I,
    "IGNORECASE": re.I,
    "M": re.M,
    "MULTILINE": re.M,
    "S": re.S,
    "DOTALL": re.S,
    "ASCII": re.A,
    "A": re.A,
}
_parser: Any = re._parser  # type: ignore[attr-defined]


def _constants(tree: ast.AST) -> dict[str, str]:
    """Texts of the module that patterns are put together from."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = _text(node.value, found)
            if text is not None:
                found[node.targets[0].id] = text
    return found


def _text(node: ast.AST, known: dict[str, str]) -> str | None:
    """What an expression is, where it is made of literals; what it takes from elsewhere is a word."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left, known), _text(node.right, known)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.JoinedStr):
        parts = [
            part.value if isinstance(part, ast.Constant) else known.get(_named(part), "x1") for part in node.values
        ]
        return "".join(map(str, parts))
    return None


def _named(part: ast.expr) -> str:
    return part.value.id if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name) else ""


def _flags(call: ast.Call) -> int:
    named = [
        n.attr
        for arg in (*call.args, *(k.value for k in call.keywords))
        for n in ast.walk(arg)
        if isinstance(n, ast.Attribute)
    ]
    return sum({FLAGS[name] for name in named if name in FLAGS})


def _in_file(file: Path) -> Iterator[tuple[str, int, bool]]:
    source = file.read_text()
    tree = ast.parse(source)
    known = _constants(tree)
    held = {
        id(n.value): n.targets[0].id
        for n in ast.walk(tree)
        if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in CALLS:
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args:
            text = _text(node.args[0], known)
            if text is not None:
                uses = (
                    {node.func.attr}
                    if id(node) not in held or node.func.attr != "compile"
                    else set(re.findall(rf"\b{held[id(node)]}\.(\w+)\(", source))
                )
                yield text, _flags(node), bool(uses) and uses <= WHOLE


@cache
def patterns() -> dict[tuple[str, int, bool], str]:
    """Pattern, flags, and whether it is tried at the beginning alone; with the place where it stands."""
    found = {(row.pattern, 0, False): f"signature {row.id}" for row in TABLE}
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for pattern, flags, whole in _in_file(file):
                found.setdefault((pattern, flags, whole), f"{file.relative_to(ROOT)}: {pattern[:60]}")
    for pattern, _ in runpy.run_path(str(assets.collection("plugins/module_utils/reaper_secrets.py")))["SECRETS"]:
        found.setdefault((pattern.pattern, pattern.flags & ~re.U, False), f"redaction {pattern.pattern[:60]}")
    return found


def seeds(tree: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """(text that leads up to a repetition, letter that it repeats) for every repetition of a pattern."""
    for operation, argument in tree:
        name = str(operation)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            yield before, example(argument[2]) or "a"
            yield from seeds(argument[2], before)
        elif name in {"SUBPATTERN", "ATOMIC_GROUP"}:
            yield from seeds(argument[3] if name == "SUBPATTERN" else argument, before)
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from seeds(branch, before)
        before += example([(operation, argument)])


def example(tree: Any) -> str:
    """A short text that fits."""
    found = ""
    for operation, argument in tree:
        name = str(operation)
        if name == "LITERAL":
            found += chr(argument)
        elif name in {"ANY", "NOT_LITERAL"}:
            found += "a" if argument != ord("a") else "b"
        elif name == "IN":
            found += _of_set(argument)
        elif name in {"SUBPATTERN", "ATOMIC_GROUP"}:
            found += example(argument[3] if name == "SUBPATTERN" else argument)
        elif name == "BRANCH":
            found += example(argument[1][0])
        elif name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            found += example(argument[2]) * max(argument[0], 1 if argument[0] else 0)
    return found


def _of_set(items: Any) -> str:
    tests = [letter for letter in 'a/0 -:.A"=(\\\t,x' if _in_set(letter, items)]
    return tests[0] if tests else "a"


def _in_set(letter: str, items: Any) -> bool:
    negated = str(items[0][0]) == "NEGATE"
    hit = False
    for operation, argument in items:
        name = str(operation)
        if name == "LITERAL":
            hit |= ord(letter) == argument
        elif name == "RANGE":
            hit |= argument[0] <= ord(letter) <= argument[1]
        elif name == "CATEGORY":
            kind = str(argument)
            test = {"DIGIT": str.isdigit, "SPACE": str.isspace, "WORD": lambda c: c.isalnum() or c == "_"}[
                kind.rpartition("_")[2]
            ]
            hit |= test(letter) != ("NOT" in kind)
    return hit != negated


def units(pattern: str) -> list[tuple[str, str]]:
    """(head, unit): lines are the head and then the unit again and again, and never what ends a match."""
    tree = _parser.parse(pattern)
    found = [("", "a"), ("", "a "), ("", "/a"), ("", "1"), ("", "a:"), ("", '"'), ("", "="), ("", " "), ("", "\n")]
    for before, letter in seeds(tree):
        found += [(before, letter), ("", before + letter), ("", letter), (before, letter + " "), ("", f"{before} ")]
    for near in near_misses(tree):
        found += [("", near), ("", f"{near} ")]
    return list(dict.fromkeys((head, unit) for head, unit in found if unit and len(unit) < SIZE // 2))


def near_misses(tree: Any, before: str = "") -> Iterator[str]:
    """What fits up to a part of the pattern and then ends."""
    for operation, argument in tree:
        name = str(operation)
        if name == "BRANCH":
            yield from (before + example(branch) for branch in argument[1])
        elif name in {"SUBPATTERN", "ATOMIC_GROUP"}:
            yield from near_misses(argument[3] if name == "SUBPATTERN" else argument, before)
        elif name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            yield from near_misses(argument[2], before)
        before += example([(operation, argument)])
        yield before


def seconds(pattern: re.Pattern[str], line: str, runs: int, whole: bool) -> float:
    found = []
    for _ in range(runs):
        began = time.thread_time()
        if whole:
            pattern.fullmatch(line)
        for _ in itertools.islice(() if whole else pattern.finditer(line), 20_000):
            pass
        found.append(time.thread_time() - began)
    return min(found)


def dear(pattern: re.Pattern[str], line: str, whole: bool) -> bool:
    """Also a bounded pattern can be: ratios of length say nothing about it."""
    if seconds(pattern, line, 1, whole) < NOISE / 2:
        return False
    measure = re.compile("(?:a|b){1,100}c")
    return all(
        seconds(pattern, line, 3, whole) > DEAR * seconds(measure, "a" * SIZE, 3, False) for _ in range(ATTEMPTS)
    )


def slow(text: str, flags: int, whole: bool = False) -> list[str]:
    pattern = re.compile(text, flags)
    for head, unit in units(text):
        short, long = (head + unit * (size // len(unit)) + "\x00" for size in (SIZE, TIMES * SIZE))
        if dear(pattern, short, whole):
            return [f"{head!r} and then {unit!r}: a line of our cut costs more than {DEAR:.0f} times the measure"]
        if seconds(pattern, long, 1, whole) < NOISE:
            continue
        if all(
            seconds(pattern, long, 3, whole) > QUADRATIC * max(seconds(pattern, short, 3, whole), 1e-6)
            for _ in range(ATTEMPTS)
        ):
            return [f"{head!r} and then {unit!r}: {TIMES} times the length takes over {QUADRATIC:.0f} times as long"]
    return []


def test_enough_patterns_are_found() -> None:
    assert len(patterns()) > len(TABLE) + 120


@pytest.mark.parametrize("shard", range(8))
def test_no_pattern_is_worse_than_linear(shard: int) -> None:
    rows = list(patterns().items())[shard::8]
    bad = {place: found for (text, flags, whole), place in rows if (found := slow(text, flags, whole))}
    assert not bad


@pytest.mark.parametrize(
    "text",
    [r"(?P<unit>\S+): Deactivated successfully", r"(a+)+b", r"x.*y", r"(?:a|a)*b", r"x.{0,900}?y.{0,900}?z"],
)
def test_the_measure_sees_what_is_slow(text: str) -> None:
    if "+)+" in text or "|a" in text:
        tree = _parser.parse(text)
        assert [letter for _, letter in seeds(tree)]
        return
    assert slow(text, 0)


def test_lines_of_a_bundle_are_cut_as_on_a_host() -> None:
    assert f"MAX_LINE = {pasted.LONGEST}\n" in (assets.collection("plugins/module_utils/reaper_host.py")).read_text()
    saved = bundle.read("a", {"journal.log": "a" * 70_000 + "\nb\n"}, by_hand=True)
    assert (saved.answers or {})["log"]["stdout"] == "a" * pasted.LONGEST + "\nb\n"
