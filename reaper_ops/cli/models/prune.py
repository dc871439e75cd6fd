"""`reaper-ops models prune`."""

from __future__ import annotations

import click

from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import output_option, with_source
from reaper_ops.cli.provision.removal import consent, ended


@click.command("prune")
@with_source
@output_option
@click.option("-y", "--yes", is_flag=True, help="remove without asking (for machines)")
@click.option("--check", is_flag=True, help="show what would be removed, and stop")
def command(output: str, yes: bool, check: bool, source: Source) -> int:
    """Take away what reaper_ops pulled, nobody changed since, and its host no longer wants. Shows it first."""
    from reaper_ops.flows.models import change as models_change
    from reaper_ops.formats.models.outcome import FORMATS

    found = models_change.prune(source, confirm=lambda todo: consent("prune", todo, yes=yes, check=check))
    click.echo(FORMATS[output](found))
    return ended(found, check)
