"""`reaper-ops render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reaper_ops.cli.options import source_from, source_options

KINDS = ("compose", "systemd", "process")


@click.command("render")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@source_options
@click.option("--out", "directory", type=click.Path(file_okay=False), help="write DIR/HOST/path instead of printing")
@click.option("--facts", "facts_file", type=click.File("r"), help="saved facts (JSON) to render from")
@click.option("--read", is_flag=True, help="ask the hosts what they are; otherwise no host is contacted")
@click.option("--save-facts", type=click.Path(dir_okay=False), help="with --read: save the facts as JSON")
def command(kind: str | None, directory: str | None, facts_file: Any, **kwargs: Any) -> int:
    """Print the exact files for each host, as `up` would write them.

    KIND shows every host in that runtime; without it each host is shown in its own.
    Without --read or --facts nothing is known of the hosts' hardware and engines: GPUs are those that the
    settings name.
    """
    from reaper_ops.adapters import tree
    from reaper_ops.flows import render

    read, save = kwargs.pop("read"), kwargs.pop("save_facts")
    saved = render.read_facts(facts_file.name, facts_file.read()) if facts_file else None
    rendered, facts = render.render_hosts(source_from(kwargs), kind, facts=saved, read=read)
    if save:
        path = Path(save)
        tree.write(str(path.parent), path.name, render.dump_facts(facts), "0600")
    if directory:
        paths = render.write(rendered, directory)
        hosts = len({one.host for one in rendered})
        click.echo(f"{len(paths)} files of {hosts} hosts in {directory}")
    elif len(rendered) == 1:
        click.echo(rendered[0].text, nl=False)
    else:
        click.echo("\n".join(f"# ---- {one.host}: {one.path}\n{one.text}" for one in rendered), nl=False)
    return 0
