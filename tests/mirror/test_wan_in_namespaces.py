"""`models pull` of eight hosts over limited links: what the interface to the internet counted is about one copy.

One copy is what the same interface counts while the same bytes are fetched once, so headers are on both sides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirror import site, wires
from mirror.space_fleet import SpaceFleet, space_fleet
from subject import simulated

HOSTS = 8
SIZE = 16 << 20


@pytest.fixture
def fleet(short: Path) -> Iterator[SpaceFleet]:
    if reason := wires.why_not():
        pytest.skip(reason)
    with space_fleet(short, simulated(short / "tree"), HOSTS, lan="400mbit", wan="200mbit", piece=512 << 10) as found:
        yield found


def one_copy(fleet: SpaceFleet, digest: str) -> int:
    """Bytes that the interface counts for one plain download past the mirror."""
    before, sent = fleet.wires.wan_bytes(), fleet.internet.bytes_sent
    with wires.within(fleet.wires.mirror):
        data = site.get(f"http://{wires.BYTES}:{wires.PORT}/cdn/library/{digest}")[2]
    assert len(data) == fleet.internet.bytes_sent - sent == SIZE
    return fleet.wires.wan_bytes() - before


def copies(fleet: SpaceFleet) -> tuple[float, float]:
    """By the interface and by what the registry sent, for a pull of all hosts."""
    model = fleet.publish("big:1", SIZE)
    weights = max(model.layers, key=lambda layer: layer.size)
    one = one_copy(fleet, weights.digest)
    before, sent = fleet.wires.wan_bytes(), fleet.internet.bytes_sent
    controller = fleet.pull()
    assert controller.wait(timeout=240) == 0, fleet.said()
    assert [host.listed() for host in fleet.hosts] == [{"big:1": model.digest.removeprefix("sha256:")}] * HOSTS
    found = (fleet.wires.wan_bytes() - before) / one, (fleet.internet.bytes_sent - sent) / SIZE
    print(f"WAN copies: {found[0]:.4f} at the interface, {found[1]:.4f} at the registry")
    return found


def test_one_copy_passes_the_interface_for_eight_hosts(fleet: SpaceFleet) -> None:
    at_interface, at_registry = copies(fleet)
    assert 0.98 <= at_interface <= 1.02
    assert 1 <= at_registry <= 1.02


def test_an_upstream_killed_half_way_costs_little(fleet: SpaceFleet) -> None:
    gone = threading.Event()

    def accident() -> None:
        assert fleet.internet.sent.reached.wait(120)
        fleet.internet.kill()
        fleet.internet.sent.halt = 0
        fleet.internet.sent.released.set()
        time.sleep(1)
        fleet.internet = fleet.internet.again()
        gone.set()

    fleet.internet.sent.halt = SIZE + SIZE // 2
    thread = threading.Thread(target=accident)
    thread.start()
    at_interface, at_registry = copies(fleet)
    thread.join()
    assert gone.is_set()
    assert 1 < at_interface <= 1.05
    assert 1 < at_registry <= 1.05
