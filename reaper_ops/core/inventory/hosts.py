"""Hosts and their settings, from what Ansible itself read. No inventory rule is imitated here."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reaper_ops.core.inventory import settings as schema
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.errors import ReaperError, ReaperErrors

Listing = Mapping[str, Any]
Outcome = tuple[Settings | None, tuple[ReaperError, ...]]
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "localhost.localdomain"})


@dataclass(frozen=True)
class Host:
    """connection, address and port: how Ansible reaches the host (`ansible_connection`, `ansible_host`, …)."""

    name: str
    settings: Settings
    connection: str = "ssh"
    address: str = ""
    port: str = ""
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


CONNECTION = ("ansible_connection", "ansible_host", "ansible_port", "reaper_ignore")


def needs_templating(listing: Listing) -> tuple[str, ...]:
    """Hosts with a setting that holds Jinja or an inline vault value: Ansible must evaluate it."""
    return tuple(host for host, variables in host_variables(listing).items() if _unevaluated(_ours(variables)))


def _ours(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema.relevant(variables), **{k: variables[k] for k in CONNECTION if k in variables}}


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
    mistakes: dict[tuple[str, str, str], list[str]] = {}
    seen: dict[str, Outcome] = {}
    groups = _groups(listing)
    for name, raw in host_variables(listing).items():
        variables = {**raw, **(evaluated or {}).get(name, {})}
        settings, problems = _parse_once(schema.relevant(variables), seen)
        for problem in problems:
            mistakes.setdefault((problem.place, problem.problem, problem.hint), []).append(name)
        if settings is not None:
            hosts.append(_host(name, settings, variables, groups.get(name, ())))
    errors = [_placed(*mistake, names) for mistake, names in mistakes.items()] + _address_clashes(hosts)
    if errors:
        raise ReaperErrors(tuple(errors)) if len(errors) > 1 else errors[0]
    if not hosts:
        raise ReaperError("inventory", "no host matches", "check --inventory and --limit")
    return Inventory(tuple(hosts))


def _parse_once(variables: Mapping[str, Any], seen: dict[str, Outcome]) -> Outcome:
    """Hosts of one group mostly have the same settings: each different set is checked once."""
    key = json.dumps(variables, sort_keys=True, default=str)
    if key not in seen:
        seen[key] = schema.parse_set(variables)
    return seen[key]


def _host(name: str, settings: Settings, variables: Mapping[str, Any], groups: tuple[str, ...]) -> Host:
    return Host(
        name=name,
        settings=settings,
        connection=str(variables.get("ansible_connection", "ssh")),
        address=str(variables.get("ansible_host", "")),
        port=str(variables.get("ansible_port", "")),
        groups=groups,
    )


def _groups(listing: Listing) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name, group in listing.items():
        if name != "_meta":
            for host in group.get("hosts", ()):
                found.setdefault(host, []).append(name)
    return {host: tuple(names) for host, names in found.items()}


def _placed(setting: str, problem: str, hint: str, hosts: list[str]) -> ReaperError:
    """One line for a mistake, however many hosts have it (a group's variable reaches all of its hosts)."""
    others = len(hosts) - 1
    more = f" (and on {others} more host{'s' if others > 1 else ''})" if others else ""
    return ReaperError(f"{hosts[0]}/{setting}" if setting else hosts[0], problem + more, hint)


def _machine(host: Host) -> tuple[str, str]:
    """Which machine Ansible reaches, and by which port: two names can be one machine."""
    address = "localhost" if host.is_local else (host.address or host.name)
    local = address in LOCAL_NAMES
    port = "" if host.is_local or host.port in {"", "22"} else host.port
    return ("localhost" if local else address.lower(), port)


def _binds(host: Host) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, bool]:
    bind = ipaddress.ip_address(host.settings.ollama_bind)
    return bind, bind.is_unspecified


def _clash(one: Host, other: Host) -> bool:
    (bind, wild), (other_bind, other_wild) = _binds(one), _binds(other)
    return wild or other_wild or bind == other_bind


def _address_clashes(hosts: list[Host]) -> list[ReaperError]:
    seen: dict[tuple[str, str, int], list[Host]] = {}
    errors: list[ReaperError] = []
    for host in hosts:
        if not host.settings.ollama_managed:
            continue
        machine = _machine(host)
        before = seen.setdefault((*machine, host.settings.ollama_port), [])
        twin = next((other for other in before if _clash(host, other)), None)
        if twin is not None:
            errors.append(
                ReaperError(
                    f"{host.name}/ollama_port",
                    f"same address and port as {twin.name} ({host.settings.ollama_port} on {machine[0]})",
                    "give one of them another ollama_port, or remove the duplicate host",
                )
            )
        before.append(host)
    return errors
