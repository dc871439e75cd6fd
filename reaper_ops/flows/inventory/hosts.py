"""`hosts`: the effective settings of each host, and where each came from. No host is contacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reaper_ops.adapters import ansible
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.inventory import hosts as inventory
from reaper_ops.core.inventory import provenance, settings
from reaper_ops.core.inventory.provenance import Effective, SettingOrigin

FILES_UP_TO = 100
"""Ansible tells files and lines host by host (some 20 ms each); larger fleets see the group alone."""


def run(source: Source) -> tuple[Effective, ...]:
    merged = ansible.listing(source)
    variables = inventory.host_variables(merged)
    waiting = inventory.needs_templating(merged)
    if not waiting:
        inventory.parse(merged)
    asked = tuple(variables) if len(variables) <= FILES_UP_TO else waiting
    evaluated = ansible.evaluate(source, asked) if asked else {}
    found = inventory.parse(merged, {host: one.variables for host, one in evaluated.items()})
    groups = provenance.Groups(ansible.listing(source, export=True))
    extra = ansible.extra_names(source)
    nothing = ansible.Evaluated({}, {})
    return tuple(
        Effective(host, _origins(host.name, variables, groups, extra, evaluated.get(host.name, nothing).files))
        for host in found.hosts
    )


def _origins(
    host: str,
    variables: Mapping[str, Mapping[str, Any]],
    groups: provenance.Groups,
    extra: frozenset[str],
    files: Mapping[str, str],
) -> dict[str, SettingOrigin]:
    return {name: provenance.origin(host, name, variables[host], groups, extra, files) for name in settings.names()}
