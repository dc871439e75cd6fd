"""Options that every verb takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from reaper_ops.adapters.ansible import Source

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


def source_from(kwargs: dict[str, Any]) -> Source:
    """Takes the options of `source_options` out of a command's arguments."""
    return Source(
        inventory=tuple(kwargs.pop("inventories")),
        limit=kwargs.pop("limit"),
        extra_vars=tuple(kwargs.pop("extra_vars")),
        vault_password_files=tuple(kwargs.pop("vault_password_files")),
        become_password_file=kwargs.pop("become_password_file"),
    )
