"""Several registries behind one mirror: each at a port of its own, told apart by the models' names."""

from __future__ import annotations

import json

import pytest
from mirror import site
from models_fleet import fleet
from servers import free_port

from reaper_ops.cli.program import run
from reaper_ops.lab import models
from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry


@pytest.fixture
def other(short):
    """A registry with another model under the name that the first one has too, as hf.co might."""
    models.publish(short / "other", {"library/tiny:latest": gguf.Shape("tiny", seed=7)})
    found = LabRegistry(short / "other").start()
    yield found
    found.stop()


def test_models_of_two_registries_come_by_one_mirror_and_are_not_mixed_up(short, resolver, other, capfd):
    port = free_port()
    with fleet(short, "one") as found:
        plain = [found.registry.name, other.name]
        more = {"mirror_sources": {other.name: port}, "ollama_insecure_registries": plain}
        wanted = site.settings(short / "m", f"http://{found.registry.name}", resolver, **more)
        with site.running(wanted) as mirror:
            inventory = found.write(
                "tiny",
                ollama_models=[found.name("tiny"), f"{other.name}/library/tiny:latest"],
                ollama_insecure_registries=plain,
                ollama_mirror=f"http://{mirror}",
                ollama_mirror_registries=[found.registry.name],
                ollama_mirror_sources={other.name: port},
            )
            assert run(["models", "lock", "-i", inventory]) == 0
            asked = sum(found.registry.requests.values()), sum(other.requests.values())
            assert asked == (1, 1)
            assert run(["models", "pull", "-i", inventory, "-l", "one"]) == 0, capfd.readouterr()
            held = found.listed("one")
            served = [json.loads(line)["uri"] for line in (short / "m/log/lan.log").read_text().splitlines()]
        assert held == found.promised()
        assert len(set(held.values())) == 2
        assert sum("/manifests/" in uri for uri in served) >= 2
        sizes = [sum(path.stat().st_size for path in (root / "blobs").iterdir()) for root in (short / "other",)]
        assert other.bytes_sent <= sizes[0] * 1.02
