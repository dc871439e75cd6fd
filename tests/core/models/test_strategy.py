"""What each strategy decides, side by side."""

from __future__ import annotations

import pytest

from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models.strategy import AS_CONFIGURED, DIRECT, MIRROR, PUSH, STRATEGIES, SWARM, named
from reaper_ops.errors import ReaperError

HF, LLAMA = "hf.co/a/b:q4", "llama3:latest"
MIRRORED = Settings(ollama_models=("llama3", HF), ollama_mirror="http://models.lan:8080")
PLAIN = Settings(ollama_models=("llama3", HF))


@pytest.mark.parametrize(
    ("strategy", "pulled_as", "local"),
    [
        (AS_CONFIGURED, {LLAMA: "models.lan:8080/library/llama3:latest"}, {LLAMA}),
        (MIRROR, {LLAMA: "models.lan:8080/library/llama3:latest"}, {LLAMA}),
        (DIRECT, {}, set()),
        (SWARM, {LLAMA: "models.lan:8080/library/llama3:latest"}, {LLAMA, HF}),
        (PUSH, {}, {LLAMA, HF}),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_names_at_the_mirror_and_what_stays_on_the_sites_own_network(strategy, pulled_as, local):
    assert strategy.sources(MIRRORED) == pulled_as
    assert set(strategy.local(MIRRORED)) == local
    assert strategy.sources(PLAIN) == {}


def test_the_mirror_of_the_inventory_is_for_many_hosts_and_for_who_asks_for_it():
    least = {one.name: (one.lone_hosts, one.insists) for one in (AS_CONFIGURED, *STRATEGIES.values())}
    nobody = (None, False)
    assert least == {"": (2, False), "mirror": (1, True), "direct": nobody, "swarm": nobody, "push": nobody}


def test_what_does_not_fit_is_refused():
    hosts = [Host("one", MIRRORED), Host("two", PLAIN)]
    with pytest.raises(ReaperError, match="two/ollama_mirror: is not set; name the site mirror"):
        MIRROR.check(hosts, None)
    with pytest.raises(ReaperError, match="--via api: a swarm writes into the hosts' stores"):
        SWARM.check(hosts, "api")
    for strategy in (AS_CONFIGURED, DIRECT, PUSH):
        strategy.check(hosts, "api")
    assert (SWARM.transport(None), DIRECT.transport(None), PUSH.transport("api")) == ("host", None, "api")


def test_who_keeps_a_cap():
    assert AS_CONFIGURED.cap(5) is MIRROR.cap(5) is DIRECT.cap(5) is None
    assert SWARM.cap(5) == {"reaper_limit_rate": 5}
    with pytest.raises(ReaperError, match="--push-rate caps what each host gets"):
        PUSH.cap(5)


def test_only_who_named_no_strategy_is_told_of_a_better_one():
    assert "2 hosts pulled from the registries, each by itself" in AS_CONFIGURED.remark(2)[0]
    assert AS_CONFIGURED.remark(1) == DIRECT.remark(9) == ()


def test_a_name_is_one_object():
    assert named(None) is AS_CONFIGURED
    assert [named(name).name for name in STRATEGIES] == ["direct", "mirror", "swarm", "push"]
