"""`reaper-ops models`: a lazy table of its own verbs."""

from __future__ import annotations

import click

from reaper_ops.cli.lazy import LazyGroup

VERBS = {
    "sets": "reaper_ops.cli.models_sets:command",
}
HELP = {
    "sets": "Show the model sets, and which models each host wants.",
}


@click.command("models", cls=LazyGroup, verbs=VERBS, summaries=HELP)
def command() -> None:
    """Lock, deliver and check the models of a fleet.

    `lock` notes what each wanted name is at its registry; `pull` then brings exactly those bytes to every host.
    """
