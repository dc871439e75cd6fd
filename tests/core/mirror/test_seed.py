"""Who seeds a swarm, and where the seed gets the models."""

from __future__ import annotations

import pytest

from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.mirror import seed

MIRROR = {
    "ollama_mirror": "http://models.lan:8080",
    "ollama_mirror_sources": {"hf.co": 8081},
    "ollama_models": ("llama3", "hf.co/org/m:q4"),
}


def host(name: str, address: str = "", **settings: object) -> Host:
    return Host(name, Settings(**settings), address=address)


PULLING = (host("gpu1", **MIRROR), host("gpu2", **MIRROR))


ROOT = host("m", "10.0.0.5", mirror_runtime="systemd")
PLAIN = host("m", mirror_runtime="process", mirror_port=8080, mirror_dir="/data/mirror")
OTHER = host("other", "10.0.0.4", mirror_runtime="systemd")
THEIRS = host("models.lan", "10.0.0.5", mirror_runtime="docker")
DATA = "/var/lib/reaper_mirror/swarm"


@pytest.mark.parametrize(
    ("mirrors", "expected"),
    [
        ((), ("localhost", "", seed.CACHE, False)),
        ((ROOT,), ("m", "models.lan", DATA, True)),
        ((PLAIN,), ("m", "models.lan", "/data/mirror/swarm", False)),
        ((OTHER, THEIRS), ("models.lan", "10.0.0.5", DATA, True)),
    ],
    ids=["no mirror", "mirror", "mirror without root", "the mirror of these hosts"],
)
def test_the_mirror_seeds_else_the_controller(mirrors, expected):
    found = seed.choose((*PULLING, *mirrors), PULLING)
    assert (found.host, found.asked, found.dir, found.become) == expected


def test_models_come_from_the_mirror_where_it_has_them():
    found = seed.origins((*PULLING, host("plain", ollama_models=("qwen3",), ollama_insecure_registries=("x.lan",))))
    assert found == {
        "llama3:latest": {
            "manifest": "http://models.lan:8080/v2/library/llama3/manifests/latest",
            "blob": "http://models.lan:8080/v2/library/llama3/blobs/",
        },
        "hf.co/org/m:q4": {
            "manifest": "http://models.lan:8081/v2/org/m/manifests/q4",
            "blob": "http://models.lan:8081/v2/org/m/blobs/",
        },
        "qwen3:latest": {
            "manifest": "https://registry.ollama.ai/v2/library/qwen3/manifests/latest",
            "blob": "https://registry.ollama.ai/v2/library/qwen3/blobs/",
        },
    }
