"""`reaper-ops models update`."""

from __future__ import annotations

import click

from reaper_ops.adapters import lockfile
from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import lock_option, output_option, with_source


@click.command("update")
@with_source
@lock_option
@output_option
@click.option("--check", is_flag=True, help="show what changes, and write nothing")
@click.argument("names", metavar="[MODEL]...", nargs=-1)
def command(lock_path: str | None, output: str, check: bool, names: tuple[str, ...], source: Source) -> int:
    """Let the lock follow its tags (all, or those of each MODEL), and show what changes. Contacts no host."""
    from reaper_ops.flows.models import lock as models_lock
    from reaper_ops.formats.models.lock import FORMATS

    path = lockfile.place(source, lock_path)
    found = models_lock.update(source, path, names, write=not check)
    click.echo(FORMATS[output](found, str(path), not check and path.exists()))
    return 1 if found.failed else 0
