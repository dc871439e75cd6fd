"""`reaper-ops probe`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from reaper_ops.cli.options import source_from, source_options
from reaper_ops.core.report import Report
from reaper_ops.errors import ReaperError


@click.command("probe")
@partial(source_options, required=False)
@click.option("--url", help="ask one server by its URL, without an inventory")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="form of the answer")
@click.option("--deep", is_flag=True, help="ask a model that is loaded already for one token; nothing is ever loaded")
@click.option("--direct", is_flag=True, help="HTTP from here only: no host is read through Ansible")
@click.option(
    "--watch", type=click.FloatRange(min=0.5), metavar="SECONDS", help="probe again and again; say what changed"
)
def command(url: str | None, output: str, deep: bool, direct: bool, watch: float | None, **kwargs: Any) -> int:
    """Say how each host answers: its state, the evidence, the next step."""
    look = _by_url(url, deep) if url else _by_inventory(kwargs, output, deep, direct)
    if watch is not None:
        return _watch(look, watch, output)
    from reaper_ops.formats import FORMATS

    report = look()
    click.echo(FORMATS[output](report))
    return report.exit_code


def _by_url(url: str, deep: bool) -> Callable[[], Report]:
    from reaper_ops.flows import probe

    return lambda: probe.probe_url(url, deep=deep)


def _by_inventory(kwargs: dict[str, Any], output: str, deep: bool, direct: bool) -> Callable[[], Report]:
    if not kwargs["inventories"]:
        raise ReaperError("probe", "neither an inventory nor a URL", "give -i INVENTORY, or --url http://HOST:11434")
    from reaper_ops.adapters import ansible
    from reaper_ops.flows import probe
    from reaper_ops.formats.progress import choose

    source = source_from(kwargs)
    inventory = ansible.inventory(source)

    def look() -> Report:
        with choose(output) as progress:
            return probe.probe(source, inventory, deep=deep, direct=direct, on_event=progress)

    return look


def _watch(look: Callable[[], Report], interval: float, output: str) -> int:
    """Until Ctrl-C, which is how a watch ends; the exit code is that of the last report."""
    from reaper_ops.flows import watch
    from reaper_ops.formats import as_json, as_text

    line = as_json.change if output == "json" else as_text.change
    code = 0
    try:
        for report, changed in watch.watch(look, interval):
            code = report.exit_code
            if changed and output == "text":
                click.echo(f"{time.strftime('%H:%M:%S')}  {report.status}")
            for change in changed:
                click.echo(line(change))
    except KeyboardInterrupt:
        click.echo("", err=True)
    return code
