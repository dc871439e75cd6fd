"""The mirror that a fleet uses without naming it: looks for it, and asks whether it serves."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.adapters import ansible, mirror
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.inventory.hosts import Inventory
from reaper_ops.core.mirror import site
from reaper_ops.core.mirror.site import Chosen
from reaper_ops.core.models.strategy import AS_CONFIGURED, Strategy


def choose(source: Source, known: Inventory, strategy: Strategy = AS_CONFIGURED) -> Chosen:
    if not site.needed(known.hosts, strategy):
        return Chosen()
    everybody = known if source.limit is None else ansible.inventory(replace(source, limit=None))
    found = site.of(everybody.hosts, known.hosts)
    return site.chosen(found, strategy, serves=mirror.serves(found.url)) if found else Chosen()
