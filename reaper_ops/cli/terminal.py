"""The one place of output: whatever a verb, a library or an error prints passes here on its way to the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from reaper_ops.errors import CommandError
from reaper_ops.formats import visible


class NotWritten(CommandError):
    """What was to be printed cannot be; is_closed where its reader went away, as `head` does."""

    def __init__(self, error: OSError) -> None:
        problem = f"cannot be written: {error.strerror}; what the verb did is done"
        super().__init__("standard output", problem, "free some space, or write it to another place")
        self.is_closed = isinstance(error, BrokenPipeError)


class Guarded:
    """A stream that shows control characters instead of sending them, and also what its encoding lacks.

    It has no `buffer`, so that nobody goes around it. Without `needed` nothing ends for what it does not take.
    """

    def __init__(self, stream: TextIO, *, needed: bool = True) -> None:
        self.unguarded, self.needed = stream, needed
        self.lost: NotWritten | None = None

    def write(self, text: str) -> int:
        shown, encoding = visible.printable(text), self.unguarded.encoding or "utf-8"
        with self._refusal():
            self.unguarded.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        with self._refusal():
            self.unguarded.flush()

    @contextmanager
    def _refusal(self) -> Iterator[None]:
        """Python would try the same bytes again at its end, so the stream leads to nowhere from then on.

        Libraries that only try a stream swallow what it raises; the next who writes is told again.
        """
        try:
            yield
        except OSError as error:
            self.lost = NotWritten(error)
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.unguarded.fileno())
        if self.lost is not None and self.needed:
            raise self.lost

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.unguarded, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Standard output and standard error for the length of a block."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _guard(before[0]), _guard(before[1], needed=False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _guard(stream: Any, *, needed: bool = True) -> Any:
    return stream if stream is None or isinstance(stream, Guarded) else Guarded(stream, needed=needed)
