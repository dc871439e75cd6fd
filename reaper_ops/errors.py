"""The two classes of trouble that reach the user; everything else is data in a report."""

from __future__ import annotations

import logging
from enum import IntEnum

DEFECTS = logging.getLogger("reaper_ops.defects")
"""Where each of them was, with its traceback."""
DEFECTS.addHandler(logging.NullHandler())


class ExitCode(IntEnum):
    """What the program ends with; its help and README say the same."""

    HEALTHY = 0
    BROKEN = 1
    INPUT = 2
    ERROR = 3
    WARNING = 4
    UNKNOWN = 5

    @classmethod
    def of(cls, status: str) -> ExitCode:
        """Of `healthy`, `error`, `warning` or `unknown`, as reports have it."""
        return cls[status.upper()]

    @classmethod
    def worst(cls, *, errors: object = False, unknown: object = False, warnings: object = False) -> ExitCode:
        """Of what there is any of."""
        return cls.ERROR if errors else cls.UNKNOWN if unknown else cls.WARNING if warnings else cls.HEALTHY


class ReaperError(Exception):
    """The input is wrong: the user fixes it. Exit code 2.

    place: where, as ``gpu3/ollama_port``; problem: one sentence; hint: the next step.
    """

    exit_code: ExitCode = ExitCode.INPUT

    def __init__(self, place: str, problem: str, hint: str = "") -> None:
        super().__init__(place, problem, hint)
        self.place = place
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.place}: {self.problem}" if self.place else self.problem
        return f"{text}; {self.hint}" if self.hint else text


class ReaperErrors(ReaperError):
    """Several input errors, all shown at once."""

    def __init__(self, errors: tuple[ReaperError, ...]) -> None:
        super().__init__("", f"{len(errors)} errors in the input")
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class CommandError(ReaperError):
    """The run itself broke: a command died, a tool is missing. Exit code 1."""

    exit_code = ExitCode.BROKEN


def defect(host: str, error: Exception) -> str:
    """What one host's answers brought to light is that host's result, in a sentence; where it was goes to the log."""
    DEFECTS.error("%s", host, exc_info=error)
    return f"this is a defect of reaper_ops in reading what this host answers: {type(error).__name__}: {_short(error)}"


def _short(error: Exception) -> str:
    text = ascii(str(error))[1:-1]
    return text if len(text) <= 200 else f"{text[:200]}…"
