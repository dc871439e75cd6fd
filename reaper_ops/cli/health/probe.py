"""`reaper-ops probe`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from reaper_ops.cli.options import look_from, source_options
from reaper_ops.errors import ReaperError


@click.command("probe")
@partial(source_options, required=False)
@click.option("--url", help="ask one server by its URL, without an inventory")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "prometheus"]),
    default="text",
    help="output format; prometheus writes a file for node exporter's textfile collector",
)
@click.option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="write to this file, replaced in one step")
@click.option("--deep", is_flag=True, help="ask a model that is already loaded for one token; never loads a model")
@click.option("--direct", is_flag=True, help="use only HTTP from here; read no host through Ansible")
@click.option("--watch", type=click.FloatRange(min=0.5), metavar="SECONDS", help="the same as `watch --interval`")
def command(output: str, out: str | None, watch: float | None, **kwargs: Any) -> int:
    """Show how each host answers: its state, the evidence, the next step."""
    if watch is not None:
        if out:
            raise ReaperError("--out", "goes with one probe, not with --watch", "leave one of them out")
        if output == "prometheus":
            raise ReaperError("-o prometheus", "goes with one probe, not with --watch", "`watch --metrics` serves them")
        from reaper_ops.cli.health.watch import follow

        return follow(look_from(kwargs, "probe"), watch, output)
    from reaper_ops.adapters import tree
    from reaper_ops.formats import FORMATS
    from reaper_ops.formats.progress import choose

    report = look_from(kwargs, "probe", lambda: choose(output))()
    text = FORMATS[output](report)
    if out:
        tree.replace(out, text + "\n")
    else:
        click.echo(text)
    return report.exit_code
