"""`reaper-ops down`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from reaper_ops.cli.options import source_from, source_options
from reaper_ops.core.values import counted
from reaper_ops.errors import ReaperError
from reaper_ops.flows.provision.down import Removed
from reaper_ops.formats.visible import one_line

BOOKKEEPING = {"existed", "json_values", "snapshot"}


@click.command("down")
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="form of the answer")
@click.option("-y", "--yes", is_flag=True, help="remove without asking (for machines)")
@click.option("--purge-models", is_flag=True, help="delete the model store too")
def command(output: str, yes: bool, purge_models: bool, **kwargs: Any) -> int:
    """Remove from hosts what reaper_ops installed, and nothing else. Models stay unless asked."""
    from reaper_ops.flows.provision import down
    from reaper_ops.formats.progress import choose

    def confirm(owned: Mapping[str, Mapping[str, object]]) -> bool:
        progress.pause()
        click.echo(_owned(owned), err=output == "json")
        return yes or _ask(len(owned), purge_models)

    with choose(output) as progress:
        removed = down.down(source_from(kwargs), confirm=confirm, purge_models=purge_models, on_event=progress)
    click.echo(_json(removed) if output == "json" else _text(removed))
    return removed.exit_code


def _ask(hosts: int, purge_models: bool) -> bool:
    if not sys.stdin.isatty():
        raise ReaperError("down", "nobody is there to ask", "give --yes to remove what is shown")
    models = ", models included" if purge_models else "; models stay"
    return click.confirm(f"remove this from {counted(hosts, 'host')}{models}?", default=False, err=True)


def _owned(owned: Mapping[str, Mapping[str, object]]) -> str:
    lines: list[str] = []
    for host, manifest in owned.items():
        lines.append(f"{host}:")
        for kind, items in manifest.items():
            if kind not in BOOKKEEPING and isinstance(items, Mapping | list) and items:
                lines.append(f"  {kind}: {', '.join(map(str, items))}")
    return "\n".join(map(one_line, lines))


def _text(removed: Removed) -> str:
    lines: list[str] = []
    for host, result in removed.results.items():
        if host in removed.withheld:
            continue
        lines.append(f"{host}: removed {len(result.get('removed', []))} things")
        lines += [f"  kept {item}" for item in result.get("kept", [])]
    for host, texts in removed.withheld.items():
        lines += [f"{host}: changed since it was shown: {text}" for text in texts]
        lines.append(f"{host}: nothing was removed; `reaper-ops down` shows it anew")
    lines += [f"{host}: {problem}" for host, problem in removed.problems.items()]
    if not removed.owned:
        lines.append("nothing to remove: no host has a manifest of reaper_ops")
    elif not removed.applied:
        lines.append("nothing was removed")
    return "\n".join(map(one_line, lines))


def _json(removed: Removed) -> str:
    return json.dumps(
        {
            "schema": "reaper-ops/down/1",
            "hosts": {
                host: {"removed": result.get("removed", []), "kept": result.get("kept", [])}
                for host, result in removed.results.items()
            },
            "problems": dict(removed.problems),
            "withheld": {host: list(texts) for host, texts in removed.withheld.items()},
        },
        indent=1,
    )
