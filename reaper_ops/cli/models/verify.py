"""`reaper-ops models verify`."""

from __future__ import annotations

import click

from reaper_ops.adapters import lockfile
from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import lock_option, output_option, with_source


@click.command("verify")
@with_source
@lock_option
@output_option
@click.option("--repair", is_flag=True, help="download damaged and missing blobs again")
@click.argument("models", metavar="[MODEL]...", nargs=-1)
def command(lock_path: str | None, output: str, repair: bool, models: tuple[str, ...], source: Source) -> int:
    """Hash the blobs of all models (or of each MODEL) again, on every host at once, behind all other work there.

    Ollama never looks again at a blob that is on disk. Without --repair nothing is changed.
    """
    from reaper_ops.flows.models import verify as models_verify
    from reaper_ops.formats.models.contents import FORMATS
    from reaper_ops.formats.models.pull_progress import choose

    path = lockfile.place(source, lock_path)
    with choose(output) as progress:
        found = models_verify.verify(source, path, models, repair=repair, on_event=progress)
    click.echo(FORMATS[output](found))
    return found.exit_code
