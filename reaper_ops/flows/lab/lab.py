"""The rehearsal fleet: its surroundings here; its servers by the same `up` as any other fleet."""

from __future__ import annotations

from reaper_ops import assets
from reaper_ops.adapters.ansible import Source
from reaper_ops.core.health.report import Report
from reaper_ops.core.inventory.hosts import Inventory
from reaper_ops.lab import world
from reaper_ops.lab.ollama.faults import FAULTS
from reaper_ops.lab.world import World


def source() -> Source:
    """The shipped inventory of the lab."""
    return Source((str(assets.inventory("lab")),))


def up() -> World:
    """Starts the registry and the release server, and lays out what the four hosts need."""
    return world.up(world.directory())


def down() -> World:
    return world.down(world.directory())


def break_(host: str, fault: str) -> World:
    return world.break_(world.directory(), host, fault)


def heal(host: str) -> World:
    return world.heal(world.directory(), host)


def status() -> World:
    return world.status(world.directory())


def surprises(inventory: Inventory, report: Report) -> tuple[str, ...]:
    """Hosts whose state is not the one that the lab's inventory expects."""
    return tuple(
        f"{host.host}: expected {wanted}, found {host.state or host.problem}"
        for host in report.hosts
        if (wanted := inventory.by_name[host.host].settings.lab_expect) and host.state != wanted
    )


def faults() -> dict[str, str]:
    """Every fault that a simulated server knows, with what it shows."""
    return dict(FAULTS)
