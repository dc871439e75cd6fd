"""`reaper-ops watch`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from reaper_ops.cli.options import look_from, source_options
from reaper_ops.core.health.report import HostReport, Report

if TYPE_CHECKING:
    from reaper_ops.flows.health import watch

INTERVAL = 30.0


@click.command("watch")
@partial(source_options, required=False)
@click.option("--url", help="watch one server by its URL, without an inventory")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="output format")
@click.option("--deep", is_flag=True, help="ask a model that is already loaded for one token; never loads a model")
@click.option("--direct", is_flag=True, help="use only HTTP from here; read no host through Ansible")
@click.option("--interval", type=click.FloatRange(min=0.5), default=INTERVAL, help="seconds between rounds")
@click.option("--metrics", metavar="ADDR:PORT", help="serve metrics for Prometheus there; without ADDR on loopback")
def command(interval: float, metrics: str | None, output: str, **kwargs: Any) -> int:
    """Probe again and again: a live table on a terminal, lines for what changed in a pipe. Ctrl-C ends it."""
    return follow(look_from(kwargs, "watch"), interval, output, metrics)


def follow(look: Callable[[], Report], interval: float, output: str, metrics: str | None = None) -> int:
    """Until Ctrl-C, which is how a watch ends; the exit code is that of the last report."""
    from reaper_ops.flows.health import watch
    from reaper_ops.formats.health import fleet_view

    found: list[watch.Round] = []
    try:
        with ExitStack() as stack:
            if metrics is not None:
                _serve(stack, metrics, found)
            view = stack.enter_context(fleet_view.choose(output))
            for now in watch.watch(look, interval):
                found[:] = [_showable(now)]
                view.show(found[0].report, found[0].changes, found[0].problem)
    except KeyboardInterrupt:
        click.echo("", err=True)
    return found[0].report.exit_code if found else 0


def _showable(now: watch.Round) -> watch.Round:
    """A host that cannot be drawn is drawn as broken, and leaves the others on the screen."""
    from reaper_ops.core import isolation
    from reaper_ops.core.health.report import broken
    from reaper_ops.formats.health import fleet_view

    def drawn(hosts: tuple[HostReport, ...]) -> tuple[HostReport, ...]:
        for host in hosts:
            fleet_view.drawable(host)
        return hosts

    hosts = isolation.rendered(drawn, now.report.hosts, broken)
    known = {host.host: host for host in hosts}
    changes = tuple(replace(change, after=known[change.after.host]) for change in now.changes)
    return replace(now, report=replace(now.report, hosts=hosts), changes=changes)


def _serve(stack: ExitStack, where: str, found: list[Any]) -> None:
    from reaper_ops.adapters import metrics
    from reaper_ops.core import isolation
    from reaper_ops.core.health.report import broken
    from reaper_ops.formats.health import as_prometheus

    def families(now: watch.Round) -> list[Any]:
        def of(hosts: tuple[HostReport, ...]) -> list[Any]:
            return list(as_prometheus.families(replace(now.report, hosts=hosts), now.tally))

        return isolation.rendered(of, now.report.hosts, broken)

    def produce() -> Any:
        return [family for now in found[:] for family in families(now)]

    address = metrics.address(where)
    stack.enter_context(metrics.served(address, as_prometheus.registry(produce)))
    click.echo(f"metrics at http://{address}/metrics", err=True)
