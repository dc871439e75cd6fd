"""The mirror of hosts that name none."""

from __future__ import annotations

import pytest

from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.mirror import site


def host(name: str, address: str = "", connection: str = "ssh", **settings: object) -> Host:
    return Host(name, Settings(**settings), connection, address)


ONE, TWO = host("gpu1", ollama_models=("llama3",)), host("gpu2", ollama_models=("qwen3",))
NAMES_ONE = host("gpu3", ollama_models=("qwen3",), ollama_mirror="http://other.lan")
EMPTY, OUTSIDE = host("cpu1"), host("cpu2", ollama_models=("qwen3",), ollama_managed=False)
OWN = host("gpu4", ollama_models=("qwen3",), ollama_mirror_registries=("own.lan",))
FLEET = (ONE, TWO, NAMES_ONE, EMPTY, OUTSIDE, OWN)


@pytest.mark.parametrize(
    ("mirror", "url"),
    [
        (host("m", mirror_runtime="systemd"), "http://m"),
        (host("m", "10.0.0.5", mirror_runtime="docker", mirror_port=8080), "http://10.0.0.5:8080"),
        (host("m", "10.0.0.5", mirror_runtime="docker", mirror_bind="192.168.7.1"), "http://192.168.7.1"),
        (host("m", "fd00::5", mirror_runtime="docker", mirror_bind="::"), "http://[fd00::5]"),
    ],
    ids=["its name", "its address and port", "where it listens", "IPv6"],
)
def test_hosts_that_want_models_and_name_no_mirror_get_the_only_one(mirror, url):
    found = site.of((*FLEET, mirror), FLEET)
    assert (found.host, found.url, found.serves) == ("m", url, ("gpu1", "gpu2"))
    assert found.settings("gpu1", ONE.settings).ollama_mirror == url
    assert found.settings("gpu3", NAMES_ONE.settings) is NAMES_ONE.settings


@pytest.mark.parametrize(
    "mirrors",
    [
        (),
        (host("m", mirror_runtime="systemd"), host("n", mirror_runtime="systemd")),
        (host("m", mirror_runtime="systemd", mirror_upstream="none"),),
        (host("m", mirror_runtime="systemd", mirror_bind="127.0.0.1"),),
        (host("m", connection="local", mirror_runtime="systemd"),),
    ],
    ids=["none", "two", "without internet", "for itself alone", "at an address nobody knows"],
)
def test_no_mirror_is_chosen_where_there_is_none_or_a_choice(mirrors):
    assert site.of((*FLEET, *mirrors), FLEET) is None


def test_hosts_of_this_machine_find_its_mirror_on_the_loopback():
    hosts = [host(name, connection="local", ollama_models=("qwen3",)) for name in ("a", "b")]
    mirror = host("m", connection="local", mirror_runtime="process", mirror_port=8080, mirror_sources={"hf.co": 8081})
    found = site.of((*hosts, mirror), hosts)
    assert found.url == "http://127.0.0.1:8080"
    assert found.settings("a", hosts[0].settings).ollama_mirror_sources == {"hf.co": 8081}
