"""`reaper-ops models lock`."""

from __future__ import annotations

import click

from reaper_ops.adapters import lockfile
from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import lock_option, output_option, with_source


@click.command("lock")
@with_source
@lock_option
@output_option
@click.option("--check", is_flag=True, help="write nothing; exit code 3 when the lock would change or a tag has moved")
def command(lock_path: str | None, output: str, check: bool, source: Source) -> int:
    """Note what each wanted name is at its registry, and which tags have moved. Contacts no host.

    Entries that are there stay as they are; `models update` moves them.
    """
    from reaper_ops.flows.models import lock as models_lock
    from reaper_ops.formats.models.lock import FORMATS

    path = lockfile.place(source, lock_path)
    found = models_lock.lock(source, path, write=not check)
    click.echo(FORMATS[output](found, str(path), not check and path.exists()))
    if found.failed:
        return 1
    return 3 if check and any(change.kind != "kept" for change in found.changes) else 0
