"""`reaper-ops models list`."""

from __future__ import annotations

import click

from reaper_ops.adapters import lockfile
from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import lock_option, output_option, with_source


@click.command("list")
@with_source
@lock_option
@output_option
def command(lock_path: str | None, output: str, source: Source) -> int:
    """Show which host holds which model: as locked, drifted, missing, extra; and what is loaded. Changes nothing."""
    from reaper_ops.flows.models import look as models_look
    from reaper_ops.formats.models.table import FORMATS

    found = models_look.listing(source, lockfile.place(source, lock_path))
    click.echo(FORMATS[output](found))
    return found.exit_code
