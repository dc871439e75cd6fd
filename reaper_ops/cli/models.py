"""`reaper-ops models`: a lazy table of its own verbs."""

from __future__ import annotations

import click

from reaper_ops.cli.lazy import LazyGroup

VERBS = {
    "sets": "reaper_ops.cli.models_sets:command",
    "lock": "reaper_ops.cli.models_lock:command",
    "update": "reaper_ops.cli.models_update:command",
    "pull": "reaper_ops.cli.models_pull:command",
}
HELP = {
    "sets": "Show the model sets, and which models each host wants.",
    "lock": "Note what each wanted name is at its registry, and which tags have moved.",
    "update": "Let the lock follow its tags, and show what changes.",
    "pull": "Bring the wanted models to every host, as the lock has them.",
}


@click.command("models", cls=LazyGroup, verbs=VERBS, summaries=HELP)
def command() -> None:
    """Lock, deliver and check the models of a fleet.

    `lock` notes what each wanted name is at its registry; `pull` then brings exactly those bytes to every host.
    """
