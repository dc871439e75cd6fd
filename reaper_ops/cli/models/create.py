"""`reaper-ops models create`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from reaper_ops.adapters import lockfile
from reaper_ops.cli.options import lock_option, output_option, source_from, source_options
from reaper_ops.formats.visible import one_line

PLACE = click.Path(path_type=Path)


@click.command("create")
@partial(source_options, required=False, short_forks=False)
@lock_option
@output_option
@click.option(
    "-f", "--file", "modelfile", type=PLACE, default=Path("Modelfile"), show_default=True, help="the Modelfile"
)
@click.argument("name", metavar="NAME")
@click.argument("place", metavar="FILE|DIR", type=PLACE)
def command(lock_path: str | None, output: str, modelfile: Path, name: str, place: Path, **kwargs: Any) -> int:
    """Make the model NAME of a local GGUF file and a Modelfile, as a bundle that `models bundle load` brings to hosts.

    Made once, it has the same digest on every host; `/api/create` writes another file on each. With -i or --lock the
    model is locked too.
    """
    from reaper_ops.flows.models import create as models_create
    from reaper_ops.formats.models.bundle import FORMATS
    from reaper_ops.formats.models.pull_progress import choose

    source = source_from(kwargs)
    locked = lockfile.place(source, lock_path) if source.inventory or lock_path else None
    with choose(output) as progress:
        made, notes = models_create.create(name, modelfile, place, lock_path=locked, on_event=progress)
    click.echo(FORMATS[output](made))
    for note in notes:
        click.echo(one_line(f"note: {note}"), err=True)
    return 0
