"""What a number or a text of another program means to an Ollama host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """cause: the id of a rule; empty for a code that is known and needs more to decide. text: as the program says it.

    sure: the code alone proves the cause.
    """

    cause: str
    text: str
    sure: bool = False
