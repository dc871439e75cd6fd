"""`reaper-ops models list`."""

from __future__ import annotations

from typing import Any

import click

from reaper_ops.adapters import lockfile
from reaper_ops.cli.options import lock_option, output_option, source_from, source_options


@click.command("list")
@source_options
@lock_option
@output_option
def command(lock_path: str | None, output: str, **kwargs: Any) -> int:
    """Show which host holds which model: as locked, drifted, missing, extra; and what is loaded. Changes nothing."""
    from reaper_ops.flows.models import look as models_look
    from reaper_ops.formats.models.table import FORMATS

    source = source_from(kwargs)
    found = models_look.listing(source, lockfile.place(source, lock_path))
    click.echo(FORMATS[output](found))
    return found.exit_code
