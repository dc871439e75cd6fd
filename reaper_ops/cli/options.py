"""Options that every verb takes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import click
from click.core import ParameterSource

from reaper_ops.adapters.ansible import Source
from reaper_ops.core.report import Report
from reaper_ops.errors import ReaperError

Command = Callable[..., Any]


def source_options(function: Command, *, required: bool = True) -> Command:
    """Adds -i, -l, -e, vault and become options; the command gets them by `source_from(**kwargs)`."""
    for option in (
        click.option(
            "--become-password-file",
            type=click.Path(exists=True),
            help="file with the sudo password of the hosts",
        ),
        click.option(
            "--vault-password-file",
            "vault_password_files",
            multiple=True,
            type=click.Path(exists=True),
            help="file with the vault password (may be given several times)",
        ),
        click.option("-e", "--extra-vars", multiple=True, help="further variables, as Ansible takes them"),
        click.option("-l", "--limit", help="only these hosts (an Ansible pattern)"),
        click.option(
            "-i",
            "--inventory",
            "inventories",
            multiple=True,
            required=required,
            envvar="REAPER_OPS_INVENTORY",
            type=click.Path(),
            help="Ansible inventory: file, directory or list (may be given several times)",
        ),
    ):
        function = option(function)
    return function


OUTPUTS = click.Choice(["text", "json", "lines"])
output_option = click.option("-o", "--output", type=OUTPUTS, default="text", help="form of the answer")
lock_option = click.option(
    "--lock",
    "lock_path",
    type=click.Path(),
    help="the lock; not given: models.lock beside the inventory, DIR.models.lock for a directory",
)


def typed_places(kwargs: dict[str, Any], *others: object) -> None:
    """An inventory of the environment means nothing where another place to look at was typed."""
    known = click.get_current_context().get_parameter_source("inventories")
    if known is ParameterSource.ENVIRONMENT and any(others):
        kwargs["inventories"] = ()


def source_from(kwargs: dict[str, Any]) -> Source:
    """Takes the options of `source_options` out of a command's arguments."""
    return Source(
        inventory=tuple(kwargs.pop("inventories")),
        limit=kwargs.pop("limit"),
        extra_vars=tuple(kwargs.pop("extra_vars")),
        vault_password_files=tuple(kwargs.pop("vault_password_files")),
        become_password_file=kwargs.pop("become_password_file"),
    )


def look_from(kwargs: dict[str, Any], verb: str, on_event: Callable[[], Any] | None = None) -> Callable[[], Report]:
    """How the fleet is looked at, by inventory or by URL; takes its options out of the command's arguments.

    on_event makes what shows the steps of Ansible, for one look.
    """
    url, deep, direct = kwargs.pop("url"), kwargs.pop("deep"), kwargs.pop("direct")
    if url:
        from reaper_ops.flows import probe

        return lambda: probe.probe_url(url, deep=deep)
    if not kwargs["inventories"]:
        raise ReaperError(verb, "neither an inventory nor a URL", "give -i INVENTORY, or --url http://HOST:11434")
    from reaper_ops.adapters import ansible
    from reaper_ops.flows import probe

    source = source_from(kwargs)
    inventory = ansible.inventory(source)

    def look() -> Report:
        with on_event() if on_event else nullcontext() as progress:
            return probe.probe(source, inventory, deep=deep, direct=direct, on_event=progress)

    return look


def unheeded(option: str, needed: str) -> ReaperError:
    """An option that nothing would heed."""
    return ReaperError(option, f"means nothing without {needed}", f"add {needed}, or leave it out")
