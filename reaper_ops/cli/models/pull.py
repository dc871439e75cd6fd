"""`reaper-ops models pull`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from reaper_ops.adapters import lockfile
from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.options import lock_option, option_without_effect, output_option, with_source
from reaper_ops.core.models.order import PullOptions
from reaper_ops.core.models.outcome import Interrupted, ModelsOutcome
from reaper_ops.core.models.push import ThisMachine
from reaper_ops.core.models.strategy import STRATEGIES, named
from reaper_ops.core.models.transport import Way
from reaper_ops.core.values import size
from reaper_ops.errors import ReaperError


@click.command("pull")
@with_source
@lock_option
@output_option
@click.option(
    "--strategy",
    type=click.Choice(list(STRATEGIES)),
    help="direct: each host from the registry; mirror (where ollama_mirror is set): from the site mirror; "
    "swarm: hosts from each other, by aria2; push: from this machine to hosts that reach no registry",
)
@click.option(
    "--via",
    type=click.Choice(["api", "host"]),
    help="api: from here by the hosts' own API; host: through Ansible; not given: api for every host where that works",
)
@click.option("--seed-address", metavar="ADDRESS", help="swarm: the seed's address in the hosts' network")
@click.option("--push-address", default="", help="push: this machine's address in the hosts' network")
@click.option(
    "--push-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="push: port for manifests, for firewalls; a free port by default",
)
@click.option("--push-rate", metavar="SIZE", help="push: limit of bytes per second to each host, such as 50M")
@click.option(
    "--limit-rate",
    metavar="SIZE",
    help="limit of bytes per second from the internet, such as 50M; applies to the mirror or the seed of a swarm",
)
@click.option(
    "--wait-window",
    metavar="22:00-06:00",
    help="pull only in these hours (of this machine's clock); stop with exit code 4 at their end; the next run resumes",
)
@click.option(
    "--at-once", type=click.IntRange(1), default=16, show_default=True, help="how many hosts pull at the same time"
)
@click.option("--retries", type=click.IntRange(0), default=4, show_default=True, help="further attempts for each model")
@click.option(
    "--stall-timeout",
    type=click.IntRange(5),
    default=75,
    show_default=True,
    help="seconds without a byte after which a pull is retried",
)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
def command(
    lock_path: str | None,
    output: str,
    strategy: str | None,
    via: Way | None,
    seed_address: str | None,
    push_address: str,
    push_port: int,
    push_rate: str | None,
    limit_rate: str | None,
    wait_window: str | None,
    at_once: int,
    retries: int,
    stall_timeout: int,
    models: tuple[str, ...],
    source: Source,
) -> int:
    """Bring the wanted models (or each MODEL of them) to every host, as the lock has them.

    A pull that was stopped goes on with the next run. A host that fails does not stop the others.

    The seed of a swarm is the site mirror's host, where the inventory has one, else this machine: it gets each blob
    once, runs the tracker (port 6969), and hosts send the pieces on to each other (ports 6881-6999) until all are done.

    A push fetches each blob once to this machine; a host that does not reach it gets all through Ansible.
    """
    push = {"--push-address": push_address, "--push-port": push_port, "--push-rate": push_rate}
    _of_strategy(strategy, {"swarm": {"--seed-address": seed_address}, "push": push})
    here = ThisMachine(push_address, push_port, _rate(push_rate))
    patience = {"reaper_at_once": at_once, "reaper_retries": retries, "reaper_stall_timeout": stall_timeout}
    options = PullOptions(named(strategy), models, via, seed_address, here, patience)
    return _pull(source, lockfile.place(source, lock_path), options, output, limit_rate, wait_window)


def _pull(
    source: Source, path: Path, options: PullOptions, output: str, limit_rate: str | None, wait_window: str | None
) -> int:
    from reaper_ops.flows.models import limits
    from reaper_ops.flows.models.pull import pull
    from reaper_ops.formats.models.outcome import FORMATS
    from reaper_ops.formats.models.pull_progress import choose

    capped = limits.cap(source, limit_rate, options.strategy, options.only)
    options = replace(options, patience={**options.patience, **limits.soon(wait_window), **capped})
    with (
        limits.in_window(wait_window, lambda text: click.echo(text, err=True)),
        _outcome_when_interrupted(FORMATS[output]),
        choose(output) as progress,
    ):
        found = pull(source, path, options, on_event=progress)
    click.echo(FORMATS[output](found))
    return found.exit_code


@contextmanager
def _outcome_when_interrupted(render: Callable[[ModelsOutcome], str]) -> Iterator[None]:
    """After Ctrl-C the table says what is there by now."""
    try:
        yield
    except Interrupted as stopped:
        click.echo(render(stopped.outcome))
        raise


def _of_strategy(strategy: str | None, given: Mapping[str, Mapping[str, object]]) -> None:
    """What another strategy would not heed is refused."""
    for needed, values in given.items():
        for option, value in values.items():
            if value and strategy != needed:
                raise option_without_effect(option, f"--strategy {needed}")


def _rate(text: str | None) -> int:
    try:
        return size(text) if text else 0
    except ValueError as error:
        raise ReaperError("--push-rate", str(error)) from None
