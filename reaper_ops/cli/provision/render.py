"""`reaper-ops render`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reaper_ops.cli.options import source_from, source_options
from reaper_ops.core.values import counted
from reaper_ops.errors import ReaperError
from reaper_ops.formats.visible import one_line

if TYPE_CHECKING:
    from reaper_ops.flows.provision.render import Rendered

HOST_KINDS = ("compose", "systemd", "process")
MONITORING = ("prometheus", "alertmanager", "grafana")
OPTIONS: tuple[tuple[str, str, str, str], ...] = (
    ("--metrics", "metrics", "ADDR:PORT", "prometheus: where `watch --metrics` listens (127.0.0.1:9434)"),
    ("--textfile", "textfile", "ADDR:PORT", "prometheus: node exporter that serves what `probe -o prometheus` wrote"),
    ("--alertmanager", "alertmanager", "ADDR:PORT", "prometheus: where Alertmanager listens (127.0.0.1:9093)"),
    ("--every", "every", "DURATION", "prometheus: how often it scrapes and judges (30s)"),
    ("--for", "wait", "DURATION", "prometheus: how long a trouble lasts before it is told; each alert has its own"),
    ("--webhook", "webhook", "URL", "alertmanager: where alerts are sent"),
)


def monitoring_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for word, name, metavar, text in reversed(OPTIONS):
        function = click.option(word, name, metavar=metavar, help=text)(function)
    return function


@click.command("render")
@click.argument("kind", type=click.Choice((*HOST_KINDS, *MONITORING)), required=False)
@partial(source_options, required=False)
@click.option("--out", "directory", type=click.Path(file_okay=False), help="write DIR/HOST/path instead of printing")
@click.option("--facts", "facts_file", type=click.File("r"), help="saved facts (JSON) to render from")
@click.option("--read", is_flag=True, help="read facts from the hosts; by default no host is contacted")
@click.option("--save-facts", type=click.Path(dir_okay=False), help="with --read: save the facts as JSON")
@monitoring_options
def command(kind: str | None, directory: str | None, **kwargs: Any) -> int:
    """Print the exact files for each host, as `up` would write them. Passwords are printed as ***; --out has them.

    KIND compose, systemd or process shows every host in that runtime; without it each host is shown in its own.
    Without --read or --facts nothing is known of the hosts' hardware and engines: GPUs are those that the
    settings name.

    KIND prometheus, alertmanager or grafana prints what these programs need to watch the fleet by the metrics of
    `watch --metrics`; no inventory is needed.
    """
    given = {name: kwargs.pop(name) for _, name, _, _ in OPTIONS}
    if kind in MONITORING:
        _out(_monitoring(str(kind), given), directory, str(kind))
    else:
        rendered = _hosts(kind, given, kwargs)
        _out(rendered, directory, counted(len({one.host for one in rendered}), "host"))
    return 0


def _monitoring(kind: str, given: dict[str, str | None]) -> Sequence[Rendered]:
    from reaper_ops.flows.provision import render

    return render.render_monitoring(kind, {name: value for name, value in given.items() if value is not None})


def _hosts(kind: str | None, given: dict[str, str | None], kwargs: dict[str, Any]) -> Sequence[Rendered]:
    from reaper_ops.adapters import tree
    from reaper_ops.flows.provision import render

    foreign = [word for word, name, _, _ in OPTIONS if given[name] is not None]
    if foreign:
        raise ReaperError("render", f"{', '.join(foreign)} is not for hosts", f"name a KIND: {', '.join(MONITORING)}")
    if not kwargs["inventories"]:
        raise ReaperError("render", "no inventory", "give -i INVENTORY")
    read, save, facts_file = kwargs.pop("read"), kwargs.pop("save_facts"), kwargs.pop("facts_file")
    saved = render.read_facts(facts_file.name, facts_file.read()) if facts_file else None
    rendered, facts = render.render_hosts(source_from(kwargs), kind, facts=saved, read=read)
    if save:
        path = Path(save)
        tree.write(str(path.parent), path.name, render.dump_facts(facts), "0600")
    return rendered


def _out(rendered: Sequence[Rendered], directory: str | None, whose: str) -> None:
    from reaper_ops.flows.provision import render

    if directory:
        paths = render.write(rendered, directory)
        click.echo(f"{counted(len(paths), 'file')} of {whose} in {one_line(directory)}")
    elif len(rendered) == 1:
        click.echo(rendered[0].text, nl=False)
    else:
        click.echo(
            "\n".join(f"# ---- {one_line(one.host)}: {one_line(one.path)}\n{one.text}" for one in rendered), nl=False
        )
