"""Hosts and their settings, from what Ansible itself read. No inventory rule is imitated here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reaper_ops.core import settings as wish
from reaper_ops.core.settings import Settings
from reaper_ops.errors import ReaperError, ReaperErrors

Listing = Mapping[str, Any]


@dataclass(frozen=True)
class Host:
    """connection and address as Ansible reaches the host (`ansible_connection`, `ansible_host`)."""

    name: str
    settings: Settings
    connection: str = "ssh"
    address: str = ""
    groups: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        return self.connection == "local"

    @property
    def base_url(self) -> str:
        """Where clients reach the host."""
        s = self.settings
        if s.ollama_base_url:
            return s.ollama_base_url
        wildcard = ipaddress.ip_address(s.ollama_bind).is_unspecified
        address = (self.address or self.name) if wildcard else s.ollama_bind
        return f"http://{f'[{address}]' if ':' in address else address}:{s.ollama_port}"

    @property
    def is_direct(self) -> bool:
        """Whether the controller can ask the API itself; a server on a remote loopback is asked on the host."""
        if self.settings.ollama_base_url or self.is_local:
            return True
        return not ipaddress.ip_address(self.settings.ollama_bind).is_loopback


@dataclass(frozen=True)
class Inventory:
    hosts: tuple[Host, ...]

    @cached_property
    def by_name(self) -> dict[str, Host]:
        return {host.name: host for host in self.hosts}

    def names(self) -> tuple[str, ...]:
        return tuple(host.name for host in self.hosts)


def host_variables(listing: Listing) -> Mapping[str, Mapping[str, Any]]:
    """Merged variables per host; a host without any is listed by its groups alone."""
    variables: dict[str, Mapping[str, Any]] = {}
    for name, group in listing.items():
        if name != "_meta":
            for host in group.get("hosts", ()):
                variables.setdefault(host, {})
    variables.update(listing.get("_meta", {}).get("hostvars", {}))
    return variables


def groups_of(listing: Listing, host: str) -> tuple[str, ...]:
    return tuple(name for name, group in listing.items() if name != "_meta" and host in group.get("hosts", ()))


CONNECTION = ("ansible_connection", "ansible_host", "reaper_ignore")


def needs_templating(listing: Listing) -> tuple[str, ...]:
    """Hosts with a setting that holds Jinja or an inline vault value: Ansible must evaluate it."""
    return tuple(host for host, variables in host_variables(listing).items() if _unevaluated(_ours(variables)))


def _ours(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {**wish.relevant(variables), **{k: variables[k] for k in CONNECTION if k in variables}}


def _unevaluated(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, Mapping):
        return "__ansible_vault" in value or any(_unevaluated(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_unevaluated(item) for item in value)
    return False


def parse(listing: Listing, evaluated: Mapping[str, Mapping[str, Any]] | None = None) -> Inventory:
    """All hosts, or ReaperErrors with every mistake in the inventory. `evaluated`: variables that Ansible templated."""
    hosts: list[Host] = []
    errors: list[ReaperError] = []
    for name, raw in host_variables(listing).items():
        variables = {**raw, **(evaluated or {}).get(name, {})}
        settings, problems = wish.parse(name, variables)
        errors += problems
        if settings is not None:
            hosts.append(
                Host(
                    name=name,
                    settings=settings,
                    connection=str(variables.get("ansible_connection", "ssh")),
                    address=str(variables.get("ansible_host", "")),
                    groups=groups_of(listing, name),
                )
            )
    errors += _address_clashes(hosts)
    if errors:
        raise ReaperErrors(tuple(errors)) if len(errors) > 1 else errors[0]
    if not hosts:
        raise ReaperError("inventory", "no host matches", "check --inventory and --limit")
    return Inventory(tuple(hosts))


def _address_clashes(hosts: list[Host]) -> list[ReaperError]:
    seen: dict[tuple[str, str, int], str] = {}
    errors: list[ReaperError] = []
    for host in hosts:
        machine = "localhost" if host.is_local else (host.address or host.name)
        key = (machine, host.settings.ollama_bind, host.settings.ollama_port)
        if key in seen:
            errors.append(
                ReaperError(
                    f"{host.name}/ollama_port",
                    f"same address and port as {seen[key]} ({key[1]}:{key[2]} on {machine})",
                    "give one of them another ollama_port, or remove the duplicate host",
                )
            )
        seen.setdefault(key, host.name)
    return errors
