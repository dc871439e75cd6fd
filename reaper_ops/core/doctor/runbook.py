"""The text of a rule, read from its docstring: a title, the cause, then sections of bullets."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

SECTIONS = {"Signals": "signals", "Not to be confused with": "look_alikes", "Sources": "sources"}


@dataclass(frozen=True)
class Runbook:
    """look_alikes: other causes with the same signals, and how they differ. sources: files, pages, threads."""

    title: str
    cause: str
    signals: tuple[str, ...] = ()
    look_alikes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def parse(docstring: str) -> Runbook:
    """First line, paragraphs, then `Section:` lines each with `- bullets`; a bullet may go on over more lines."""
    title, _, rest = inspect.cleandoc(docstring).partition("\n")
    parts = re.split(rf"^({'|'.join(SECTIONS)}):$", rest, flags=re.M)
    sections = {SECTIONS[name]: _bullets(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    return Runbook(title, _flowing(parts[0]), **sections)


def _bullets(body: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in re.split(r"^[ \t]*- ", body, flags=re.M) if item.strip())


def _flowing(body: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in body.strip().split("\n\n") if part.strip())
