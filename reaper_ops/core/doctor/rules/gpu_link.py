"""One link of the chain from the PCI slot to the model in GPU memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings


@dataclass(frozen=True)
class Link:
    """A broken link. id is the slug of the catalogue; link says where in the chain: pci, module, nodes, tool, …"""

    id: str
    link: str
    seen: str
    missing: str
    next_step: str


Check = Callable[[Settings, Facts], Link | None]
