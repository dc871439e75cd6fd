"""Who keeps a cap on the bytes from the internet; what nobody keeps is refused."""

from __future__ import annotations

from typing import Any

import pytest

from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import caps
from reaper_ops.core.models.strategy import AS_CONFIGURED, DIRECT
from reaper_ops.errors import ReaperError

RATE = 50 << 20
MIRRORED = {"ollama_models": ["llama3"], "ollama_mirror": "http://models.lan:8080"}


def host(name: str, address: str = "", **settings: Any) -> Host:
    return Host(name, Settings.model_validate(settings), address=address)


def site(name: str = "models.lan", **settings: Any) -> Host:
    return host(name, mirror_runtime="systemd", mirror_port=8080, **settings)


def refused(hosts: list[Host], every: list[Host], *, direct: bool = False) -> str:
    with pytest.raises(ReaperError, match="--limit-rate") as told:
        caps.check(RATE, hosts, every, (DIRECT if direct else AS_CONFIGURED).sources)
    return str(told.value)


def test_ollama_itself_keeps_none_and_who_does_is_said() -> None:
    said = refused([host("gpu1", ollama_models=["llama3"])], [])
    assert "gpu1 pulls llama3:latest from its registry by itself, and Ollama has no cap" in said
    assert "use --strategy swarm, or a site mirror with mirror_rate" in said
    capped = site(mirror_rate="10M")
    assert "by itself" in refused([host("gpu1", **MIRRORED)], [capped], direct=True)
    elsewhere = {**MIRRORED, "ollama_models": ["llama3", "hf.co/a/b:q4"]}
    assert "hf.co/a/b:q4" in refused([host("gpu1", **elsewhere)], [capped])


def test_models_that_are_not_asked_for_are_no_matter() -> None:
    both = host("gpu1", **{**MIRRORED, "ollama_models": ["llama3", "hf.co/a/b:q4"]})
    other = host("gpu2", ollama_models=["hf.co/a/b:q4"])
    asked = {"sources": AS_CONFIGURED.sources, "only": ("llama3:latest",)}
    assert caps.check(RATE, [both, other], [site(mirror_rate="10M")], **asked) is None
    assert "hf.co/a/b:q4" in refused([both, other], [site(mirror_rate="10M")])


def test_a_mirror_keeps_its_own_cap_and_no_other() -> None:
    pulling = [host("gpu1", **MIRRORED), host("idle")]
    caps.check(RATE, pulling, [*pulling, site(mirror_rate="50M")], AS_CONFIGURED.sources)
    caps.check(RATE, pulling, [site("other", mirror_rate="1M"), site(mirror_rate="50M")], AS_CONFIGURED.sources)
    said = refused(pulling, [site(), site("other", mirror_rate="1M")])
    assert "the site mirror models.lan takes all it can get from the internet" in said
    assert "set mirror_rate: 50M for models.lan, then run `reaper-ops models mirror up`" in said
    assert "takes 80M per second" in refused(pulling, [site(mirror_rate="80M")])


def test_a_mirror_that_the_inventory_does_not_know_is_not_trusted() -> None:
    other_port = host("models.lan", mirror_runtime="systemd", mirror_port=9090, mirror_rate="1M")
    for known in ([], [other_port]):
        assert "is no host of this inventory" in refused([host("gpu1", **MIRRORED)], known)
