"""`reaper-ops models rm`."""

from __future__ import annotations

import click

from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import output_option, with_source
from reaper_ops.cli.provision.removal import consent, ended


@click.command("rm")
@with_source
@output_option
@click.option("-y", "--yes", is_flag=True, help="remove without asking (for machines)")
@click.option("--check", is_flag=True, help="show what would be removed, and stop")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
def command(output: str, yes: bool, check: bool, models: tuple[str, ...], source: Source) -> int:
    """Take each MODEL from every host that holds it. What the inventory wants comes back with the next pull."""
    from reaper_ops.flows.models import change as models_change
    from reaper_ops.formats.models.outcome import FORMATS

    found = models_change.remove(source, models, confirm=lambda todo: consent("rm", todo, yes=yes, check=check))
    click.echo(FORMATS[output](found))
    return ended(found, check)
