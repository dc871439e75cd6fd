"""`render`: the exact files of each host, as `up` would write them; and those of the programs that watch a fleet."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reaper_ops.adapters import ansible, tree
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory import settings as schema
from reaper_ops.core.inventory.hosts import Host, Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.monitoring.desired_state import parse
from reaper_ops.core.monitoring.files import KINDS
from reaper_ops.core.provision import render
from reaper_ops.errors import ReaperError
from reaper_ops.flows.inventory.gather import gather

RUNTIMES = {"compose": "docker", "systemd": "systemd", "process": "process"}


@dataclass(frozen=True)
class Rendered:
    host: str
    path: str
    mode: str
    text: str


def files(inventory: Inventory, facts: Mapping[str, Facts], kind: str | None) -> tuple[Rendered, ...]:
    """Files of every host in inventory order; a host without facts is rendered from its settings alone."""
    found: list[Rendered] = []
    for host in inventory.hosts:
        settings = as_kind(host, kind)
        known = facts.get(host.name) or render.neutral(host.name)
        context = render.context(settings, known)
        for target in render.targets(settings, known):
            found.append(Rendered(host.name, target.path, target.mode, render.text(target, context)))
    return tuple(found)


def as_kind(host: Host, kind: str | None) -> Settings:
    """The host's settings, or what they would be in another runtime."""
    if kind is None or host.settings.ollama_runtime == RUNTIMES[kind]:
        return host.settings
    given = host.settings.model_dump(exclude_unset=True, mode="json")
    settings, errors = schema.parse(host.name, {**given, "ollama_runtime": RUNTIMES[kind]})
    if settings is None:
        raise errors[0]
    return settings


def read_facts(place: str, text: str) -> dict[str, Facts]:
    """Facts by host from JSON: of one host, or a map of host to facts."""
    try:
        value: Any = json.loads(text)
    except ValueError as exc:
        raise ReaperError(place, f"is not JSON: {exc}", "save facts with --read --save-facts") from None
    if not isinstance(value, dict):
        raise ReaperError(place, "is no map of host to facts", "save facts with --read --save-facts")
    if "system" in value:
        value = {value.get("host", ""): value}
    return {host: dataclasses.replace(codec.load(f"{place}/{host}", row), host=host) for host, row in value.items()}


def dump_facts(facts: Mapping[str, Facts]) -> str:
    return json.dumps({host: codec.dump(found) for host, found in facts.items()}, indent=1) + "\n"


def render_hosts(
    source: Source, kind: str | None, *, facts: Mapping[str, Facts] | None = None, read: bool = False
) -> tuple[tuple[Rendered, ...], Mapping[str, Facts]]:
    """The files, and the facts that they were made from."""
    inventory = ansible.inventory(source)
    known = dict(facts or {})
    if read:
        gathered = gather(source, inventory)
        if gathered.problems:
            host, problem = next(iter(gathered.problems.items()))
            raise ReaperError(host, problem, "leave out --read, or name the hosts that answer with --limit")
        known |= gathered.facts
    return files(inventory, known, kind), known


def render_monitoring(kind: str, given: Mapping[str, str]) -> tuple[Rendered, ...]:
    """The files of Prometheus, Alertmanager or Grafana, as they lie beside each other."""
    return tuple(Rendered(kind, name, "0644", text) for name, text in KINDS[kind](parse(given)).items())


def write(rendered: Sequence[Rendered], directory: str) -> tuple[str, ...]:
    """Writes DIR/HOST/path; the paths as they lie in DIR."""
    return tuple(tree.write(directory, f"{one.host}/{one.path.lstrip('/')}", one.text, one.mode) for one in rendered)
