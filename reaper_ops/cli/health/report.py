"""`reaper-ops report`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from reaper_ops.cli.options import look_from, source_options, typed_places
from reaper_ops.core.values import counted
from reaper_ops.formats.visible import one_line


@click.command("report")
@partial(source_options, required=False)
@click.option("--html", "path", type=click.Path(dir_okay=False), required=True, help="the page to write")
@click.option("--url", help="one server by its URL, without an inventory")
@click.option(
    "--from",
    "files",
    type=click.Path(dir_okay=False),
    multiple=True,
    help="a saved report (`probe -o json`, `doctor -o json`); several show the trend",
)
@click.option("--deep", is_flag=True, help="ask a model that is already loaded for one token; never loads a model")
@click.option("--direct", is_flag=True, help="use only HTTP from here; read no host through Ansible")
def command(path: str, files: tuple[str, ...], **kwargs: Any) -> int:
    """Write one web page about the fleet: states, causes, remedies, memory, models, trend. It needs no network.

    The fleet is probed now; with --from alone, the newest of the files is shown, and nobody is asked.
    """
    from reaper_ops.flows.health import report
    from reaper_ops.formats.progress import choose

    typed_places(kwargs, kwargs["url"], files)
    kept = report.read(files)
    asked = bool(kwargs["url"] or kwargs["inventories"])
    look = look_from(kwargs, "report", lambda: choose("text")) if asked or not files else None
    found = report.report(look, kept, path)
    click.echo(f"{one_line(path)}: {counted(len(found.hosts), 'host')}, {found.status}")
    return found.exit_code
