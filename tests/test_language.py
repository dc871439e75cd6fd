"""One vocabulary: words and phrases that docs/glossary.md replaces come back neither in texts nor in names."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PHRASES = {
    r"\bwish(?:es|ed)?\b(?!-)": "desired state, settings; desired",
    r"\bbrings? (?:\w+ ){1,3}to (?:its|their) ": "converge",
    r"\bfor ever\b": "forever",
    r"\banew\b": "again",
    r"\blest\b": "so that … not",
    r"\bit would else\b|\belse it would\b": "otherwise it would",
    r"\bdoes? answer no longer\b": "stopped answering",
    r"\bnobody is there to ask\b": "standard input is not a terminal",
    r"\bhosts are told\b": "hosts get, hosts are sent",
    r"\bis no (?:JSON|link|(?:regular|plain|swap) file|mirror|absolute path|kind of)\b": "is not (a) …",
    r"\bno rule speaks\b": "no rule applies",
    r"\bis said and not followed\b": "is reported, not followed",
    r"\btold apart from\b": "not to be confused with",
    r"\bset(?:s)? aside\b|\bput(?:s)? back\b": "quarantine, restore",
    r"\bunheeded\b": "without effect",
    r"\b(?:colour|behaviour|neighbour|armoured|honour|licence|organis|recognis)": "American spelling",
}
ALLOWED = {
    "docs/glossary.md": tuple(PHRASES),  # it names the words that are not used
}
NAMES = ("blamed", "wish", "census", "mended", "unheeded")
"""Parts of names. `told`, `shown`, `said`, `found` and `one` still stand in names: they are next."""


def places() -> list[Path]:
    folders = [p for top in ("reaper_ops", "playbooks", "docs") for p in (ROOT / top).rglob("*")]
    files = [p for p in (*folders, *ROOT.glob("*.md")) if p.suffix in {".py", ".yml", ".md"} and p.is_file()]
    return sorted(files)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a document; strings, docstrings and comments of a program."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in {tokenize.STRING, tokenize.COMMENT}:
            prose = re.sub(r"\{(?:[^{}]|\{[^{}]*\})*\}", "…", token.string) if len(token.string) > 8 else ""
            yield from enumerate(prose.splitlines(), token.start[0])


def phrases(path: Path) -> list[str]:
    name = str(path.relative_to(ROOT))
    banned = {p: say for p, say in PHRASES.items() if p not in ALLOWED.get(name, ())}
    return [
        f"{name}:{number}: {match.group()!r}; say: {say}"
        for number, line in texts(path)
        for pattern, say in banned.items()
        for match in [re.search(pattern, line, re.I)]
        if match
    ]


def names(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for field in ("name", "id", "attr", "arg"):
            if isinstance(value := getattr(node, field, None), str):
                yield getattr(node, "lineno", 0), value


def test_no_text_uses_a_replaced_phrase() -> None:
    assert not [line for path in places() for line in phrases(path)]


def test_no_name_uses_a_replaced_word() -> None:
    programs = [path for path in places() if path.suffix == ".py"]
    assert not [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in programs
        for line, name in names(path)
        if set(name.lower().split("_")) & set(NAMES)
    ]


@pytest.mark.parametrize(
    "text", ["as wished", "kept for ever", "x: is no JSON", "the Colour", "it does answer no longer"]
)
def test_a_replaced_phrase_is_noticed(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    program = tmp_path / "a.py"
    program.write_text(f'"""{text}."""\n')
    assert len(phrases(program)) == 1
