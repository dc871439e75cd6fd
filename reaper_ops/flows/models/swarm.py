"""The swarm of `models pull --strategy swarm`: its seed, and the address at which hosts find it."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

from reaper_ops.adapters import ansible, route
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.mirror import seed
from reaper_ops.core.mirror.seed import Seed
from reaper_ops.errors import ReaperError

PLAYBOOK = "swarm.yml"
HOME = "127.0.0.1"


def seed_for(source: Source, hosts: tuple[Host, ...], address: str | None) -> dict[str, Any]:
    """What the playbook is told about the seed. The mirror may be beyond the limit, and no Ollama host at all."""
    everybody = ansible.inventory(replace(source, limit=None)).hosts
    chosen = seed.choose(everybody, hosts)
    return seed.variables(chosen, _address(chosen, hosts, address), hosts)


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
