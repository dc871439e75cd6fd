"""`reaper-ops init`."""

from __future__ import annotations

from pathlib import Path

import click

from reaper_ops.formats.visible import one_line


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="also write into a directory that is not empty; existing files are kept")
def command(directory: Path, force: bool) -> None:
    """Write a commented example inventory to DIRECTORY. Nothing is overwritten."""
    from reaper_ops import assets
    from reaper_ops.adapters import examples

    done = examples.copy(assets.inventory("example"), directory, into_used=force)
    for name in done.written:
        click.echo(f"written  {one_line(directory / name)}")
    for name in done.kept:
        click.echo(f"kept     {one_line(directory / name)}")
    click.echo(
        f"next: put your hosts into {one_line(directory / 'hosts.yml')}, then: reaper-ops plan -i {one_line(directory)}"
    )
