"""Options that every verb takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from reaper_ops.adapters.ansible import Source
from reaper_ops.core.health.report import Report
from reaper_ops.errors import ReaperError

Command = Callable[..., Any]


def source_options(function: Command, *, required: bool = True, short_forks: bool = True) -> Command:
    """Adds -i, -l, -e and what Ansible takes for entering hosts; the command gets them by `source_from(kwargs)`."""
    for option in (*_entering(short_forks), *_choosing(required)):
        function = option(function)
    return function


def with_source(function: Command) -> Command:
    """The same options; the command gets what they come to as `source`."""

    @wraps(function)
    def command(**options: Any) -> Any:
        source = source_from(options)
        return function(source=source, **options)

    return source_options(command)


def _entering(short_forks: bool) -> tuple[Command, ...]:
    file = click.Path(exists=True)
    return (
        click.option("-b", "--become", is_flag=True, help="become root on the hosts (Ansible's --become)"),
        click.option(
            *(["-f"] if short_forks else []),
            "--forks",
            type=click.IntRange(min=1),
            help="number of hosts that Ansible works on in parallel",
        ),
        click.option("--private-key", "--key-file", type=click.Path(), help="SSH key for the hosts"),
        click.option("-u", "--user", help="user to log in as on hosts for which the inventory names none"),
        click.option("--ask-vault-pass", "--ask-vault-password", is_flag=True, help="ask once for the vault password"),
        click.option("-K", "--ask-become-pass", is_flag=True, help="ask once for the sudo password of the hosts"),
        click.option("--become-password-file", type=file, help="file with the sudo password of the hosts"),
        click.option(
            "--vault-password-file",
            "vault_password_files",
            multiple=True,
            type=file,
            help="file with the vault password (may be given several times)",
        ),
    )


def _choosing(required: bool) -> tuple[Command, ...]:
    return (
        click.option("-e", "--extra-vars", multiple=True, help="extra variables, in Ansible's syntax"),
        click.option("-l", "--limit", help="limit to these hosts (an Ansible pattern)"),
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
    )


OUTPUTS = click.Choice(["text", "json", "lines"])
output_option = click.option("-o", "--output", type=OUTPUTS, default="text", help="output format")
lock_option = click.option(
    "--lock",
    "lock_path",
    type=click.Path(),
    help="the lock file; by default models.lock next to the inventory, DIR.models.lock for a directory",
)


def typed_places(kwargs: dict[str, Any], *others: object) -> None:
    """An inventory of the environment means nothing where another place to look at was typed."""
    known = click.get_current_context().get_parameter_source("inventories")
    if known is ParameterSource.ENVIRONMENT and any(others):
        kwargs["inventories"] = ()


def source_from(kwargs: dict[str, Any]) -> Source:
    """Takes the options of `source_options` out of a command's arguments; asks for passwords where that is wanted."""
    ask_become, ask_vault = kwargs.pop("ask_become_pass"), kwargs.pop("ask_vault_pass")
    key, become_file = kwargs.pop("private_key"), kwargs.pop("become_password_file")
    if key and not Path(key).expanduser().is_file():
        raise ReaperError("--private-key", f"there is no file {key}", "name the private key, not its .pub file")
    if ask_become and become_file:
        raise ReaperError("--ask-become-pass", "means nothing with --become-password-file", "leave one of them out")
    return Source(
        inventory=tuple(kwargs.pop("inventories")),
        limit=kwargs.pop("limit"),
        extra_vars=tuple(kwargs.pop("extra_vars")),
        vault_password_files=tuple(kwargs.pop("vault_password_files")),
        become_password_file=become_file,
        user=kwargs.pop("user"),
        private_key=key,
        forks=kwargs.pop("forks"),
        become=kwargs.pop("become"),
        become_password=_asked("sudo password", "--ask-become-pass") if ask_become else None,
        vault_password=_asked("vault password", "--ask-vault-pass") if ask_vault else None,
    )


def _asked(what: str, option: str) -> str:
    """From the terminal without an echo; from standard input where that is none."""
    if sys.stdin is not None and not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line:
            file = option.replace("ask-", "").replace("pass", "password-file")
            raise ReaperError(option, "nobody is there to answer: standard input is empty", f"use {file} FILE")
        return line.rstrip("\n")
    return str(click.prompt(what, hide_input=True, err=True, default="", show_default=False))


def look_from(kwargs: dict[str, Any], verb: str, on_event: Callable[[], Any] | None = None) -> Callable[[], Report]:
    """How the fleet is looked at, by inventory or by URL; takes its options out of the command's arguments.

    on_event makes what shows the steps of Ansible, for one look.
    """
    url, deep, direct = kwargs.pop("url"), kwargs.pop("deep"), kwargs.pop("direct")
    if url:
        from reaper_ops.flows.health import probe

        return lambda: probe.probe_url(url, deep=deep)
    if not kwargs["inventories"]:
        raise ReaperError(verb, "neither an inventory nor a URL", "give -i INVENTORY, or --url http://HOST:11434")
    from reaper_ops.adapters import ansible
    from reaper_ops.flows.health import probe

    source = source_from(kwargs)
    inventory = ansible.inventory(source)

    def look() -> Report:
        with on_event() if on_event else nullcontext() as progress:
            return probe.probe(source, inventory, deep=deep, direct=direct, on_event=progress)

    return look


def option_without_effect(option: str, needed: str) -> ReaperError:
    """An option that nothing would heed."""
    return ReaperError(option, f"means nothing without {needed}", f"add {needed}, or leave it out")
