"""The swarm of `models pull --strategy swarm`: its seed, and the address at which hosts find it."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from reaper_ops.adapters import ansible, route
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.mirror import seed
from reaper_ops.core.mirror.seed import Seed
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models.change import Changes

PLAYBOOK = "swarm.yml"
HOME = "127.0.0.1"


def seeded(changes: Changes, source: Source, hosts: tuple[Host, ...], address: str | None) -> Changes:
    """With what the playbook is told about the seed, which may be beyond the limit, and no Ollama host at all."""
    everybody = ansible.inventory(replace(source, limit=None)).hosts
    chosen = seed.choose(everybody, hosts)
    variables = {"reaper_seed": seed.variables(chosen, _address(chosen, hosts, address), hosts), **changes.variables}
    return replace(changes, variables=variables, playbook=PLAYBOOK, beside=(chosen.host,))


def _address(chosen: Seed, hosts: tuple[Host, ...], given: str | None) -> str:
    remote = [host.address or host.name for host in hosts if not host.is_local]
    if given:
        found = route.address_of(given)
    elif chosen.asked:
        found = route.address_of(chosen.asked)
    else:
        found = route.address_towards(remote[0]) if remote else HOME
    if remote and ipaddress.ip_address(found).is_loopback:
        step = "name its address in the hosts' network by --seed-address"
        raise ReaperError(chosen.host, f"is to be the seed, but {found} is this machine alone to other hosts", step)
    return found
