"""`reaper-ops models pull`."""

from __future__ import annotations

from typing import Any

import click

from reaper_ops.adapters import lockfile
from reaper_ops.cli.options import lock_option, output_option, source_from, source_options
from reaper_ops.core.delivery.ways import Way


@click.command("pull")
@source_options
@lock_option
@output_option
@click.option(
    "--strategy",
    type=click.Choice(["direct", "mirror", "swarm"]),
    help="direct: each host from the registry; mirror (where ollama_mirror is set): from the site mirror; "
    "swarm: hosts from each other, by aria2",
)
@click.option(
    "--via",
    type=click.Choice(["api", "host"]),
    help="api: from here by the hosts' own API; host: through Ansible; not given: api for every host where that works",
)
@click.option("--seed-address", metavar="ADDRESS", help="swarm: the seed's address in the hosts' network")
@click.option("--at-once", type=click.IntRange(1), default=16, show_default=True, help="hosts that pull at a time")
@click.option("--retries", type=click.IntRange(0), default=4, show_default=True, help="further attempts for each model")
@click.option(
    "--stall-timeout", type=click.IntRange(5), default=75, show_default=True, help="seconds without a byte to try again"
)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
def command(
    lock_path: str | None,
    output: str,
    strategy: str | None,
    via: Way | None,
    seed_address: str | None,
    models: tuple[str, ...],
    **kwargs: Any,
) -> int:
    """Bring the wanted models (or each MODEL of them) to every host, as the lock has them.

    A pull that was stopped goes on with the next run. A host that fails does not stop the others.

    The seed of a swarm is the site mirror's host, where the inventory has one, else this machine: it gets each blob
    once, runs the tracker (port 6969), and hosts send the pieces on to each other (ports 6881-6999) until all are done.
    """
    from reaper_ops.flows import models_change
    from reaper_ops.formats.model_outcome import FORMATS
    from reaper_ops.formats.pull_progress import choose

    options = {f"reaper_{name}": kwargs.pop(name) for name in ("at_once", "retries", "stall_timeout")}
    source = source_from(kwargs)
    path = lockfile.place(source, lock_path)
    with choose(output) as progress:
        found = models_change.pull(
            source,
            path,
            strategy=strategy,
            only=models,
            via=via,
            seed_address=seed_address,
            options=options,
            on_event=progress,
        )
    click.echo(FORMATS[output](found))
    return found.exit_code
