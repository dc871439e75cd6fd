"""The budgets of the house: small files, small functions, no rooms without a purpose."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "reaper_ops").rglob("*.py"))
FORBIDDEN = {"utils", "helpers", "common", "base", "misc", "places", "room", "ways", "beside", "talks", "hours"}
"""Names that do not say what is in a file."""


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without the docstring: that of a rule is a page of the runbooks."""
    text = ast.get_docstring(function, clean=False) or ""
    return (function.end_lineno or 0) - function.lineno + 1 - text.count("\n")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_keeps_the_budgets(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if lines_of_code(f) > 40]
    assert path.stem not in FORBIDDEN
    assert source.count("\n") <= 400
    assert not long


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_few_comments() -> None:
    lines = [line for path in MODULES for line in path.read_text(encoding="utf-8").splitlines()]
    comments = [line for line in lines if line.lstrip().startswith("#")]
    assert len(comments) < 0.03 * len(lines)


def test_licences_ship_with_what_they_cover() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in (ROOT / "playbooks" / "COPYING").read_text(encoding="utf-8")
