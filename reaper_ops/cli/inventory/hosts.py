"""`reaper-ops hosts`."""

from __future__ import annotations

from typing import Any

import click

from reaper_ops.cli.options import source_from, source_options


@click.command("hosts")
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--all", "everything", is_flag=True, help="also show settings that have their default value")
def command(output: str, everything: bool, **kwargs: Any) -> None:
    """Show each host's effective settings and where each came from. Contacts no host."""
    from reaper_ops.flows.inventory import hosts
    from reaper_ops.formats.inventory.hosts import FORMATS

    click.echo(FORMATS[output](hosts.run(source_from(kwargs)), everything))
