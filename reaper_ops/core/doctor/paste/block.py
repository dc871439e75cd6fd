"""A kind of block: how it begins, goes on, is asked for, and is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from reaper_ops.core.doctor.paste.block_lines import Block as Block
from reaper_ops.core.doctor.paste.evidence import PastedEvidence
from reaper_ops.core.doctor.paste.line import PastedLine

Reader = Callable[[Block, PastedEvidence], object]
"""False where the block is of the kind and nothing could be read from it."""


@dataclass(frozen=True)
class Kind:
    """opens: a line with which such a block begins; goes_on: lines that belong to it then; command: what prints it.

    whole: all that the command printed is of this kind, whatever it looks like. fits: a JSON value of this kind.
    """

    name: str
    read: Reader
    opens: re.Pattern[str] | None = None
    goes_on: re.Pattern[str] | None = None
    command: re.Pattern[str] | None = None
    whole: bool = False
    fits: Callable[[object], bool] | None = None


@dataclass
class OpenBlock:
    """A block while its lines are read."""

    kind: Kind
    lines: list[PastedLine] = field(default_factory=list)
