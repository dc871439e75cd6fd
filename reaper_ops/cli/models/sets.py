"""`reaper-ops models sets`."""

from __future__ import annotations

from typing import Any

import click

from reaper_ops.cli.options import output_option, source_from, source_options


@click.command("sets")
@source_options
@output_option
def command(output: str, **kwargs: Any) -> None:
    """Show the model sets, and which models each host wants. Contacts no host."""
    from reaper_ops.adapters import ansible
    from reaper_ops.core.models import desired as wanted
    from reaper_ops.formats.models.sets import FORMATS

    inventory = ansible.inventory(source_from(kwargs))
    click.echo(FORMATS[output](wanted.sets(inventory), wanted.wishes(inventory)))
