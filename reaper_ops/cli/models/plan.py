"""`reaper-ops models plan`."""

from __future__ import annotations

import click

from reaper_ops.adapters import lockfile
from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import lock_option, output_option, with_source
from reaper_ops.core.models.strategy import STRATEGIES, named


@click.command("plan")
@with_source
@lock_option
@output_option
@click.option("--strategy", type=click.Choice(list(STRATEGIES)), help="same as for `models pull`")
def command(lock_path: str | None, output: str, strategy: str | None, source: Source) -> int:
    """Show what `models pull` would fetch, over which network, and what room is left. Changes nothing."""
    from reaper_ops.flows.models import look as models_look
    from reaper_ops.formats.models.plan import FORMATS

    found = models_look.planned(source, lockfile.place(source, lock_path), strategy=named(strategy))
    click.echo(FORMATS[output](found))
    return found.exit_code
