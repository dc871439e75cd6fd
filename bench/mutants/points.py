"""Where a module can be made wrong: every small change of its code, in the order of the text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.In: "in",
    ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not", ast.And: "and", ast.Or: "or", ast.Add: "+", ast.Sub: "-",
    ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.BitAnd: "&", ast.BitOr: "|",
}  # fmt: skip
NOT_CODE = {"annotation", "returns", "decorator_list", "format_spec", "bases", "type_params"}
"""Fields of a node that decide nothing when the program runs, or are the type checker's to hold."""


@dataclass(frozen=True)
class Point:
    """One change. `function` is the outermost function or method that it is in, empty at the module's own level."""

    path: str
    index: int
    line: int
    function: str
    first_line: int
    change: str


@dataclass(frozen=True)
class Place:
    line: int
    function: str
    first_line: int
    change: str
    make: Callable[[], None]


def points(path: str, source: str) -> list[Point]:
    found = places(ast.parse(source))
    return [Point(path, i, p.line, p.function, p.first_line, p.change) for i, p in enumerate(found)]


def mutated(source: str, index: int) -> ast.Module:
    tree = ast.parse(source)
    list(places(tree))[index].make()
    return ast.fix_missing_locations(tree)


def places(tree: ast.Module) -> list[Place]:
    return sorted(walk(tree, ("", 0), ()), key=lambda place: place.line)


def walk(node: ast.AST, inside: tuple[str, int], classes: tuple[str, ...]) -> Iterator[Place]:
    for field, value in ast.iter_fields(node):
        if field in NOT_CODE:
            continue
        for at, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or is_prose(child):
                continue
            here, below = inside, classes
            if isinstance(child, ast.FunctionDef) and not inside[0] and field == "body":
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                here = (".".join((*classes, child.name)), first)
            elif isinstance(child, ast.ClassDef):
                below = (*classes, child.name)
            elif isinstance(node, ast.FunctionDef) and field == "args" and inside[0].split(".")[-1] == node.name:
                here = ("", 0)
            if isinstance(child, ast.expr | ast.stmt):
                for change, new in replacements(child, field, node):
                    yield Place(child.lineno, *here, change, setter(node, field, at, new))
            yield from walk(child, here, below)


def setter(node: ast.AST, field: str, at: int, new: ast.AST) -> Callable[[], None]:
    def make() -> None:
        old = getattr(node, field)
        target = old[at] if isinstance(old, list) else old
        ast.copy_location(new, target)
        if isinstance(old, list):
            old[at] = new
        else:
            setattr(node, field, new)

    return make


def is_prose(node: ast.AST) -> bool:
    """Docstrings and imports; what a docstring says is held by the tests of the documents."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or isinstance(node, ast.Import | ast.ImportFrom)


def replacements(node: ast.expr | ast.stmt, field: str, parent: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                if type(op) in SWAPS:
                    new = [*ops[:at], SWAPS[type(op)](), *ops[at + 1 :]]  # type: ignore[list-item]
                    yield swap(op), ast.Compare(node.left, new, node.comparators)
        case ast.BoolOp():
            yield swap(node.op), ast.BoolOp(SWAPS[type(node.op)](), node.values)  # type: ignore[arg-type]
        case ast.BinOp() if type(node.op) in SWAPS:
            yield swap(node.op), ast.BinOp(node.left, SWAPS[type(node.op)](), node.right)  # type: ignore[arg-type]
        case ast.UnaryOp(op=ast.Not()):
            yield "not x → x", node.operand
        case ast.Constant():
            yield from constants(node)
        case ast.Return() if node.value is not None and not is_none(node.value):
            yield "return x → return None", ast.Return(ast.Constant(None))
        case ast.Break():
            yield "break → continue", ast.Continue()
        case ast.Continue():
            yield "continue → break", ast.Break()
    if field == "test" and isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
        yield "if x → if not x", ast.UnaryOp(ast.Not(), node)
    if field == "ifs" and isinstance(node, ast.Name | ast.Attribute | ast.Call):
        yield "… for … if x → if not x", ast.UnaryOp(ast.Not(), node)


def constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    if isinstance(value, bool):
        yield f"{value} → {not value}", ast.Constant(not value)
    elif isinstance(value, int | float):
        yield f"{value} → {value + 1}", ast.Constant(value + 1)
    elif isinstance(value, str):
        new = f"XX{value}XX" if value else "XX"
        yield f"{value[:40]!r} → {new[:44]!r}", ast.Constant(new)
    elif isinstance(value, bytes):
        yield f"{value[:40]!r} → b'XX…'", ast.Constant(b"XX" + value)


def is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def swap(op: ast.AST) -> str:
    return f"{NAMES[type(op)]} → {NAMES[SWAPS[type(op)]]}"
