"""`reaper-ops up`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from reaper_ops.adapters import plan_file
from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import source_from, source_options
from reaper_ops.cli.provision.plan import as_output
from reaper_ops.core.values import counted
from reaper_ops.errors import ReaperError
from reaper_ops.flows.provision.plan import Planned
from reaper_ops.flows.provision.up import UpOutcome
from reaper_ops.formats.visible import one_line


@click.command("up")
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="output format")
@click.option("-y", "--yes", is_flag=True, help="apply the plan without asking (for machines)")
@click.option("--check", is_flag=True, help="show the plan and stop: the same as `plan`")
@click.option("--no-diff", is_flag=True, help="do not show diffs of files")
@click.option(
    "--plan", "file", type=click.Path(path_type=Path), help="apply only the plan in this file, written by `plan --out`"
)
def command(output: str, yes: bool, check: bool, no_diff: bool, file: Path | None, **kwargs: Any) -> int:
    """Converge hosts to their desired state: show the plan, ask, apply it, and prove the result."""
    source = source_from(kwargs)
    if check and file:
        raise ReaperError("--check", "means nothing with --plan", "leave one of them out")
    if check:
        from reaper_ops.flows.provision import plan

        planned = plan.plan(source)
        click.echo(as_output(planned, output, diffs=not no_diff))
        return planned.exit_code
    outcome = run(source, output, yes=yes, diffs=not no_diff, file=file)
    if outcome.planned.to_apply and not outcome.applied:
        click.echo("nothing was changed", err=True)
        return 1
    return outcome.report.exit_code


def run(source: Source, output: str, *, yes: bool, diffs: bool = True, file: Path | None = None) -> UpOutcome:
    """Brings the hosts of `source` up and prints the report; what was not confirmed is not applied."""
    from reaper_ops.flows.provision import up
    from reaper_ops.formats import FORMATS
    from reaper_ops.formats.progress import choose

    def confirm(planned: Planned) -> bool:
        progress.pause()
        click.echo(as_output(planned, "text", diffs=diffs), err=output == "json")
        for host, texts in planned.refused.items():
            click.echo(one_line(f"{host}: is left alone, not as in {file}: {'; '.join(texts)}"), err=output == "json")
        return yes or _ask(len(planned.to_apply))

    given = plan_file.read(file) if file else None
    with choose(output) as progress:
        outcome = up.up(source, confirm=confirm, given=given, on_event=progress)
    if outcome.applied or not outcome.planned.to_apply:
        click.echo(FORMATS[output](outcome.report))
    return outcome


def _ask(hosts: int) -> bool:
    if not sys.stdin.isatty():
        raise ReaperError("up", "standard input is not a terminal", "give --yes to apply the plan as shown")
    return click.confirm(f"apply this to {counted(hosts, 'host')}?", default=False, err=True)
