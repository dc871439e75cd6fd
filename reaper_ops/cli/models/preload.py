"""`reaper-ops models preload`."""

from __future__ import annotations

import click

from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import output_option, with_source
from reaper_ops.core.values import duration
from reaper_ops.errors import ReaperError


@click.command("preload")
@with_source
@output_option
@click.option("--keep-alive", default="-1", show_default=True, help="how long an idle model stays loaded; -1: forever")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
def command(output: str, keep_alive: str, models: tuple[str, ...], source: Source) -> int:
    """Load each MODEL on every host that wants it, and keep it in memory."""
    from reaper_ops.flows.models import change as models_change
    from reaper_ops.formats.models.outcome import FORMATS
    from reaper_ops.formats.progress import choose

    try:
        kept = duration(keep_alive)
    except ValueError as error:
        raise ReaperError("--keep-alive", str(error)) from None
    with choose(output) as progress:
        found = models_change.preload(source, models, keep_alive=kept, on_event=progress)
    click.echo(FORMATS[output](found))
    return found.exit_code
