"""`reaper-ops models mirror`: up, status, down, gc."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import with_source
from reaper_ops.errors import ReaperError

if TYPE_CHECKING:
    from reaper_ops.core.mirror.work import Work

OUTPUTS = click.Choice(["text", "json"])


@click.group("mirror")
def command() -> None:
    """Run the site mirror: one copy of each model over the internet, and a registry for own models.

    The mirror is the host with `mirror_runtime`; hosts of the fleet name it by `ollama_mirror`.
    """


@command.command("up")
@with_source
@click.option("-o", "--output", type=OUTPUTS, default="text", help="output format")
@click.option("-y", "--yes", is_flag=True, help="apply without asking (for machines)")
@click.option("--check", is_flag=True, help="show the plan and stop")
@click.option("--no-diff", is_flag=True, help="do not show diffs of files")
def up(output: str, yes: bool, check: bool, no_diff: bool, source: Source) -> int:
    """Converge the mirror: show the plan, ask, apply it."""
    from reaper_ops.flows.mirror import mirror
    from reaper_ops.formats.mirror import mirror as formats
    from reaper_ops.formats.progress import choose

    def confirm(work: Work) -> bool:
        progress.pause()
        if output == "text":
            click.echo(formats.plan_text(work, diffs=not no_diff))
        return not check and (yes or _asked("apply this?"))

    with choose(output) as progress:
        work = mirror.up(source, confirm, on_event=progress)
    if output == "json":
        click.echo(formats.work_json(work))
    elif work.applied or not any(work.todo.values()):
        done = "the mirror is up" if work.applied and not work.problems and not work.withheld else ""
        click.echo(done or formats.plan_text(work, diffs=False))
    return work.exit_code


@command.command("status")
@with_source
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "lines", "prometheus"]),
    default="text",
    help="output format",
)
def status(output: str, source: Source) -> int:
    """Say how the mirror does: what answers, what is in the cache, what came in and went out."""
    from reaper_ops.flows.mirror import mirror
    from reaper_ops.formats.mirror.mirror import FORMATS
    from reaper_ops.formats.progress import choose

    with choose("json" if output != "text" else output) as progress:
        found = mirror.ask(source, on_event=progress if output == "text" else None)
    click.echo(FORMATS[output](found))
    return max((one.exit_code for one in found), key=(0, 4, 5, 3).index)


@command.command("gc")
@with_source
@click.option("-o", "--output", type=OUTPUTS, default="text", help="output format")
@click.option(
    "--lock", "lockfile", type=click.Path(dir_okay=False), help="keep only blobs of the models in this models.lock"
)
@click.option("--verify", is_flag=True, help="hash every complete blob, and delete damaged ones")
@click.option("-y", "--yes", is_flag=True, help="remove; by default only shows what would be removed")
def gc(output: str, lockfile: str | None, verify: bool, yes: bool, source: Source) -> int:
    """Tidy the cache: drop blobs that the lock does not name, and those whose bytes are wrong."""
    from reaper_ops.flows.mirror import mirror
    from reaper_ops.formats.mirror import mirror as formats
    from reaper_ops.formats.progress import choose

    if lockfile is None and not verify:
        raise ReaperError("models mirror gc", "neither --lock nor --verify", "say what is to be dropped by one of them")
    keep = _digests(lockfile) if lockfile else None
    with choose(output) as progress:
        work = mirror.gc(source, keep, verify=verify, dry=not yes, on_event=progress)
    click.echo(formats.work_json(work) if output == "json" else formats.gc_text(work))
    return work.exit_code


def _digests(path: str) -> frozenset[str]:
    from reaper_ops.adapters import lockfile

    lock = lockfile.read(Path(path))
    if lock is None:
        raise ReaperError(path, "there is no such file", "`reaper-ops models lock` writes it")
    return frozenset(digest for model in lock.models for digest in model.blobs)


@command.command("down")
@with_source
@click.option("-o", "--output", type=OUTPUTS, default="text", help="output format")
@click.option("-y", "--yes", is_flag=True, help="remove without asking (for machines)")
@click.option("--check", is_flag=True, help="show what would be removed, and stop")
@click.option("--purge-own", is_flag=True, help="also delete your own models, which exist nowhere else")
def down(output: str, yes: bool, check: bool, purge_own: bool, source: Source) -> int:
    """Remove the mirror: what we installed, and the cache. Own models stay unless asked."""
    from reaper_ops.flows.mirror import mirror
    from reaper_ops.formats.mirror import mirror as formats
    from reaper_ops.formats.progress import choose

    with choose(output) as progress:
        work = mirror.down(source, purge=purge_own, dry=True, on_event=progress)
        progress.pause()
        click.echo(formats.down_text(work), err=output == "json")
        if not check and (yes or _asked("remove this?")):
            work = mirror.down(source, purge=purge_own, dry=False, shown=work, on_event=progress)
    if output == "json" or work.applied:
        click.echo(formats.work_json(work) if output == "json" else formats.down_text(work))
    return work.exit_code


def _asked(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ReaperError("models mirror", "standard input is not a terminal", "give --yes to do what is shown")
    return click.confirm(question, default=False, err=True)
