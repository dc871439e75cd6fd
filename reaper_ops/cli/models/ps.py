"""`reaper-ops models ps`."""

from __future__ import annotations

import click

from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import output_option, with_source
from reaper_ops.formats.visible import one_line


@click.command("ps")
@with_source
@output_option
def command(output: str, source: Source) -> int:
    """Show which models are in memory, where, and until when. Changes nothing."""
    from reaper_ops.flows.models import look as models_look
    from reaper_ops.formats.models import table as model_table

    found = models_look.look(source)
    problems = {**found.problems, **{one.host: one.problem for one in found.holdings if one.problem}}
    click.echo(model_table.ps(found.holdings, problems, output))
    for host, problem in problems.items():
        click.echo(one_line(f"{host}: {problem}"), err=True)
    return 3 if problems else 0
