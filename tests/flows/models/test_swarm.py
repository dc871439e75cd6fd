"""The address at which hosts find the seed of a swarm."""

from __future__ import annotations

import pytest

from reaper_ops.adapters.ansible import Source
from reaper_ops.core.inventory.hosts import Host, Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models import swarm as models_swarm
from reaper_ops.flows.models.change import Changes

SOURCE = Source(("hosts.yml",), limit="one")


@pytest.fixture(autouse=True)
def everybody(monkeypatch):
    """Tells what the whole inventory holds, and that it was asked for without the limit."""
    found: list[Host] = []

    def inventory(source):
        assert source.limit is None
        return Inventory(tuple(found))

    monkeypatch.setattr(models_swarm.ansible, "inventory", inventory)
    return found


def host(name: str, connection: str = "ssh", **settings: object) -> Host:
    return Host(name, Settings(**settings), connection)


def seed_for(source, hosts, address):
    before = Changes("pull", {one.name: {"pull": ["m"]} for one in hosts}, {"reaper_at_once": 3})
    changes = models_swarm.seeded(before, source, hosts, address)
    assert (changes.requests, changes.variables["reaper_at_once"]) == (before.requests, 3)
    found = changes.variables["reaper_seed"]
    assert (changes.playbook, changes.beside) == ("swarm.yml", (found["host"],))
    return found


def test_hosts_of_this_machine_find_the_controller_on_loopback():
    found = seed_for(SOURCE, (host("one", "local"),), None)
    assert (found["host"], found["address"]) == ("localhost", "127.0.0.1")


def test_an_address_that_is_given_wins():
    assert seed_for(SOURCE, (host("192.0.2.7"),), "192.0.2.9")["address"] == "192.0.2.9"


@pytest.mark.parametrize("given", [None, "127.0.0.1"])
def test_loopback_is_no_address_for_other_hosts(everybody, given):
    everybody.append(host("m", mirror_runtime="systemd"))
    with pytest.raises(ReaperError, match="--seed-address"):
        seed_for(SOURCE, (host("one", ollama_mirror="http://localhost"),), given)


def test_a_mirror_that_pulls_no_models_seeds_too(everybody):
    everybody.append(host("m", mirror_runtime="systemd"))
    found = seed_for(SOURCE, (host("one", ollama_mirror="http://192.0.2.3"),), None)
    assert (found["host"], found["address"], found["become"]) == ("m", "192.0.2.3", True)


def test_a_name_without_an_address_is_said():
    with pytest.raises(ReaperError, match="has no IPv4 address"):
        seed_for(SOURCE, (host("one"),), "no-such-name.invalid")
