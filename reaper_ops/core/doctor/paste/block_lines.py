"""A block of what was pasted: lines that one command or file printed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from reaper_ops.core.doctor.paste.line import PastedLine


@dataclass(frozen=True)
class Block:
    """Lines that belong together. part: the file that they stand in; command: what printed them, where it is shown."""

    part: str
    kind: str
    lines: tuple[PastedLine, ...]
    command: str = ""
    value: object = None
    fenced: bool = False

    @cached_property
    def text(self) -> str:
        return "".join(f"{line.text}\n" for line in self.lines)

    @property
    def first(self) -> int:
        return self.lines[0].number if self.lines else 0

    @property
    def last(self) -> int:
        return self.lines[-1].number if self.lines else 0
