"""`reaper-ops models bundle`: create and load."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from reaper_ops.adapters import lockfile
from reaper_ops.cli.options import lock_option, output_option, source_from, source_options
from reaper_ops.errors import ReaperError

PLACE = click.Path(path_type=Path)


@click.group("bundle")
def command() -> None:
    """Carry models to sites without internet: one directory, or one .tar, with checksums and the lock.

    docs/model-bundles.md says what is in it.
    """


@command.command("create")
@partial(source_options, required=False)
@lock_option
@output_option
@click.option(
    "--from",
    "origin",
    metavar="PLACE",
    help="URL of a mirror, or a model store (OLLAMA_MODELS) on this machine; the models' own registries if not given",
)
@click.argument("place", metavar="FILE|DIR", type=PLACE)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
def create(
    lock_path: str | None, output: str, origin: str | None, place: Path, models: tuple[str, ...], **kwargs: Any
) -> int:
    """Write the models of the lock (or each MODEL) into a bundle; a run that was stopped goes on with the next."""
    from reaper_ops.flows.models import bundle as models_bundle
    from reaper_ops.formats.models.bundle import FORMATS
    from reaper_ops.formats.models.pull_progress import choose

    source = source_from(kwargs)
    known = source if source.inventory else None
    path = lockfile.place(source, lock_path)
    with choose(output) as progress:
        made = models_bundle.create(place, lock_path=path, source=known, only=models, origin=origin, on_event=progress)
    click.echo(FORMATS[output](made))
    return 0


@command.command("load")
@partial(source_options, required=False)
@lock_option
@output_option
@click.option("--to-mirror", metavar="URL", help="load the models into this mirror or registry instead of on hosts")
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="load all models on every host; by default each host gets the models that it wants",
)
@click.option("--check", is_flag=True, help="check every byte of the bundle, and stop")
@click.argument("place", metavar="FILE|DIR", type=PLACE)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
def load(
    lock_path: str | None,
    output: str,
    to_mirror: str | None,
    every: bool,
    check: bool,
    place: Path,
    models: tuple[str, ...],
    **kwargs: Any,
) -> int:
    """Bring the models of a bundle to hosts (over SSH, or this one) or into a mirror.

    Every byte of the bundle is checked before anything is touched. Each host checks once more what it was given.
    """
    from reaper_ops.flows.models import bundle as models_bundle
    from reaper_ops.formats.models import bundle as model_bundle
    from reaper_ops.formats.models import outcome as model_outcome
    from reaper_ops.formats.models.pull_progress import choose

    source = source_from(kwargs)
    if not (source.inventory or to_mirror or check):
        raise ReaperError("models bundle load", "nobody to bring it to", "give -i INVENTORY, or --to-mirror URL")
    with choose(output) as progress:
        if check:
            found = models_bundle.opened(place, models, progress)[1]
            text = model_bundle.FORMATS[output](models_bundle.made(place, found))
        elif to_mirror:
            outcome = models_bundle.to_mirror(place, to_mirror, models, on_event=progress)
        else:
            path = lockfile.place(source, lock_path)
            outcome = models_bundle.load(place, source, path, models, every=every, on_event=progress)
    click.echo(text if check else model_outcome.FORMATS[output](outcome))
    return 0 if check else outcome.exit_code
