"""Shows what would be removed, and asks."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from reaper_ops.core.models.outcome import ModelsOutcome
from reaper_ops.core.values import counted
from reaper_ops.errors import ReaperError
from reaper_ops.formats.visible import one_line


def consent(verb: str, todo: Mapping[str, tuple[str, ...]], *, yes: bool, check: bool) -> bool:
    """Standard output is left to the answer."""
    for host, models in todo.items():
        click.echo(one_line(f"{host}: remove {', '.join(models)}"), err=True)
    if check or yes:
        return yes and not check
    if not sys.stdin.isatty():
        raise ReaperError(f"models {verb}", "standard input is not a terminal", "give --yes to remove what is shown")
    return click.confirm(f"remove these from {counted(len(todo), 'host')}?", default=False, err=True)


def ended(found: ModelsOutcome, check: bool) -> int:
    """What was shown and not confirmed is no success, unless only showing was asked for."""
    refused = "nothing was changed" in found.notes and not check
    return found.exit_code or (1 if refused else 0)
