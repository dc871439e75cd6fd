"""What a run is to bring, and what each host is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.models import request
from reaper_ops.core.models.push import ThisMachine
from reaper_ops.core.models.strategy import AS_CONFIGURED, Strategy
from reaper_ops.core.models.transport import Way

AT_ONCE = 16
VERIFY_TIMEOUT = 3600


@dataclass(frozen=True)
class PullOptions:
    """What was asked for. only: models by name; all that hosts want where none is named.

    via: the hosts' API, or Ansible on the hosts; None takes the API of each host where it can be reached from here.
    patience: variables of the playbook that say how patient a pull is, and how many hosts pull at once.
    """

    strategy: Strategy = AS_CONFIGURED
    only: tuple[str, ...] = ()
    via: Way | None = None
    seed_address: str | None = None
    here: ThisMachine = field(default_factory=ThisMachine)
    patience: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What is wanted of all hosts: names, the lock's entries, how patient a pull is. owner: who asks for it."""

    wanted: Mapping[str, Sequence[str]]
    locked: Mapping[str, Any]
    strategy: Strategy
    patience: Mapping[str, int]
    owner: str

    @property
    def at_once(self) -> int:
        return self.patience.get("reaper_at_once", AT_ONCE)

    def params(self, host: Host) -> dict[str, Any]:
        """Those of the module ollama_pull that the steps of a pull read."""
        models = list(self.wanted[host.name])
        return {
            "url": request.url_of(host),
            "models": models,
            "again": False,
            "locked": {name: self.locked[name] for name in models if name in self.locked},
            "sources": self.strategy.sources(host.settings),
            "insecure_registries": sorted(request.plain_http(host.settings)),
            "retries": self.patience.get("reaper_retries", 4),
            "stall_timeout": self.patience.get("reaper_stall_timeout", 75),
            "verify_timeout": VERIFY_TIMEOUT,
        }
