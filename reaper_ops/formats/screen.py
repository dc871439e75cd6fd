"""The console of live views: text in it stays text, whatever hosts put there."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from reaper_ops.formats import visible


class Screen(Console):
    """Rich moves the cursor by segments of its own kind; any other segment is text, and made visible."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(
            stderr=stderr, file=_bare(sys.stderr if stderr else sys.stdout), highlight=False, markup=False, emoji=False
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
                continue
            style = segment.style.update_link(None) if segment.style and segment.style.link else segment.style
            yield Segment(visible.lines(segment.text), style)


def _bare(stream: IO[str]) -> IO[str]:
    """Below the place of output, which would write out the movements of the cursor."""
    return cast("IO[str]", getattr(stream, "unguarded", stream))
