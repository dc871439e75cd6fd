"""`reaper-ops models sets`."""

from __future__ import annotations

import click

from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import output_option, with_source


@click.command("sets")
@with_source
@output_option
def command(output: str, source: Source) -> None:
    """Show the model sets, and which models each host wants. Contacts no host."""
    from reaper_ops.adapters import ansible
    from reaper_ops.core.models import desired as wanted
    from reaper_ops.formats.models.sets import FORMATS

    inventory = ansible.inventory(source)
    click.echo(FORMATS[output](wanted.sets(inventory), wanted.desired_models(inventory)))
