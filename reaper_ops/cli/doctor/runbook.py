"""`reaper-ops runbook`."""

from __future__ import annotations

import click


@click.command("runbook")
@click.argument("name", metavar="[ID]", required=False)
def command(name: str | None) -> None:
    """Show what to do about a cause that `doctor` names; without ID, list all.

    The three complaints of the guide are there too, as paths of checks: connection-refused, out-of-memory,
    slow-responses.
    """
    from reaper_ops.formats.doctor import runbook

    said = runbook.text(name) if name else runbook.listing()
    click.echo_via_pager(said) if _long(said) else click.echo(said)


def _long(said: str) -> bool:
    """Longer than the terminal that shows it; never in a pipe."""
    import shutil
    import sys

    return sys.stdout.isatty() and said.count("\n") + 2 > shutil.get_terminal_size().lines
