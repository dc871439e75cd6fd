"""`reaper-ops down`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from reaper_ops.cli.options import source_from, source_options
from reaper_ops.core.values import counted
from reaper_ops.errors import ReaperError
from reaper_ops.flows.provision.down import Removed, Results
from reaper_ops.formats.visible import one_line

NOTHING = "  remove only the record of what was intended; nothing of it is there"

GIVEN_BACK = {"adopted unit ": "unit ", "replacement of container ": "container "}
"""What the module calls removed, since our hold on it goes; a person reads what becomes of it."""


@click.command("down")
@source_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="output format")
@click.option("-y", "--yes", is_flag=True, help="remove without asking (for machines)")
@click.option("--purge-models", is_flag=True, help="also delete the model store")
def command(output: str, yes: bool, purge_models: bool, **kwargs: Any) -> int:
    """Remove from hosts what reaper_ops installed, and nothing else. Models stay unless asked."""
    from reaper_ops.flows.provision import down
    from reaper_ops.formats.progress import choose

    def confirm(foreseen: Results) -> bool:
        progress.pause()
        click.echo(_foreseen(foreseen), err=output == "json")
        return yes or _ask(len(foreseen), purge_models)

    with choose(output) as progress:
        removed = down.down(source_from(kwargs), confirm=confirm, purge_models=purge_models, on_event=progress)
    click.echo(_json(removed) if output == "json" else _text(removed))
    return removed.exit_code


def _ask(hosts: int, purge_models: bool) -> bool:
    if not sys.stdin.isatty():
        raise ReaperError("down", "standard input is not a terminal", "give --yes to remove what is shown")
    models = ", models included" if purge_models else "; models stay"
    return click.confirm(f"remove this from {counted(hosts, 'host')}{models}?", default=False, err=True)


def _foreseen(results: Results) -> str:
    """What would go and what would stay; hosts of which the same is true are told together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for host, result in results.items():
        rows = [_goes(item) for item in result.get("removed", [])]
        rows += [f"  keep {item}" for item in result.get("kept", [])]
        alike.setdefault(tuple(rows or [NOTHING]), []).append(host)
    lines = [line for rows, hosts in alike.items() for line in (f"{', '.join(hosts)}:", *rows)]
    return "\n".join(map(one_line, lines))


def _goes(item: str) -> str:
    kind = next((words for words in GIVEN_BACK if item.startswith(words)), "")
    return f"  give back {GIVEN_BACK[kind]}{item.removeprefix(kind)}, as it was" if kind else f"  remove {item}"


def _text(removed: Removed) -> str:
    lines: list[str] = []
    for host, result in removed.results.items():
        if host in removed.withheld:
            continue
        lines.append(f"{host}: removed {len(result.get('removed', []))} things")
        lines += [f"  kept {item}" for item in result.get("kept", [])]
    for host, texts in removed.withheld.items():
        lines += [f"{host}: changed since it was shown: {text}" for text in texts]
        lines.append(f"{host}: nothing was removed; `reaper-ops down` shows it again")
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
