"""`reaper-ops releases`."""

from __future__ import annotations

import click


@click.command("releases")
@click.argument("version", required=False)
@click.option("--all", "everything", is_flag=True, help="list all, not only the ten newest")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(version: str | None, everything: bool, output: str) -> None:
    """List known Ollama releases, their vulnerabilities, and which one is recommended.

    With VERSION, show all that is known of that release. Contacts no host.
    """
    from reaper_ops.core.inventory import releases
    from reaper_ops.formats.inventory.releases import FORMATS

    found = releases.releases()
    if version is not None:
        found = (releases.find(version),)
    elif not everything and output == "text":
        found = found[:10]
    click.echo(FORMATS[output](found))
