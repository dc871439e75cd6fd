"""`reaper-ops models`: a lazy table of its own verbs."""

from __future__ import annotations

import click

from reaper_ops.cli.lazy import LazyGroup

VERBS = {
    "sets": "reaper_ops.cli.models.sets:command",
    "lock": "reaper_ops.cli.models.lock:command",
    "update": "reaper_ops.cli.models.update:command",
    "plan": "reaper_ops.cli.models.plan:command",
    "pull": "reaper_ops.cli.models.pull:command",
    "verify": "reaper_ops.cli.models.verify:command",
    "bundle": "reaper_ops.cli.models.bundle:command",
    "create": "reaper_ops.cli.models.create:command",
    "list": "reaper_ops.cli.models.list:command",
    "ps": "reaper_ops.cli.models.ps:command",
    "rm": "reaper_ops.cli.models.rm:command",
    "prune": "reaper_ops.cli.models.prune:command",
    "preload": "reaper_ops.cli.models.preload:command",
    "mirror": "reaper_ops.cli.mirror.mirror:command",
}
HELP = {
    "sets": "Show the model sets, and which models each host wants.",
    "lock": "Note what each wanted name is at its registry, and which tags have moved.",
    "update": "Let the lock follow its tags, and show what changes.",
    "plan": "Show what `pull` would fetch, over which network, and what room is left.",
    "pull": "Bring the wanted models to every host, as the lock has them.",
    "verify": "Hash the blobs on the hosts again, and fetch again what is damaged.",
    "bundle": "Carry models to sites without internet, as one file or directory.",
    "create": "Make a model of a GGUF file and a Modelfile, the same for every host.",
    "list": "Show which host holds which model: as locked, drifted, missing, extra.",
    "ps": "Show which models are in memory, where, and until when.",
    "rm": "Take models from hosts.",
    "prune": "Take away what reaper_ops pulled and no host wants any more; shows it first.",
    "preload": "Load models and keep them in memory.",
    "mirror": "Run the site mirror: one copy over the internet, and a registry for own models.",
}


@click.command("models", cls=LazyGroup, verbs=VERBS, summaries=HELP)
def command() -> None:
    """Lock, deliver and check the models of a fleet.

    `lock` notes what each wanted name is at its registry; `pull` then brings exactly those bytes to every host.
    """
