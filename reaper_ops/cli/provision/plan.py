"""`reaper-ops plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reaper_ops.cli.options import source_from, source_options
from reaper_ops.flows.provision.plan import Planned
from reaper_ops.formats.provision import plan_json, plan_text


@click.command("plan")
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="output format")
@click.option("--no-diff", is_flag=True, help="do not show diffs of files")
@click.option("--out", type=click.Path(path_type=Path), help="write the plan to a file that `up --plan` takes")
def command(output: str, no_diff: bool, out: Path | None, **kwargs: Any) -> int:
    """Show what `up` would change on each host, and why. Changes nothing."""
    from reaper_ops.flows.provision import plan

    source = source_from(kwargs)
    planned = plan.plan(source)
    click.echo(as_output(planned, output, diffs=not no_diff))
    if out:
        from reaper_ops.adapters import plan_file
        from reaper_ops.core import shell
        from reaper_ops.flows.provision import plan_file as filing

        plan_file.write(out, filing.of(source, planned))
        apply = shell.typed("reaper-ops up --plan {name}", name=str(out))
        click.echo(f"written to {out}: {apply} does exactly this or says what differs", err=True)
    return planned.exit_code


def as_output(planned: Planned, output: str, *, diffs: bool = True) -> str:
    if output == "json":
        return plan_json.render(
            planned.plans,
            planned.problems,
            planned.mirror.note,
            confirmed=planned.confirmed,
            choices=planned.choices,
        )
    return plan_text.render(
        planned.plans, planned.problems, note=planned.mirror.note, diffs=diffs, choices=planned.choices
    )
