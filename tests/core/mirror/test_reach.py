"""Where a mirror listens and who may pull, when the inventory alone says it."""

from __future__ import annotations

import pytest

from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.mirror import desired_state, plan, reach
from reaper_ops.core.mirror.reach import Peer
from reaper_ops.errors import ReaperError

ADDRESSES = """1: lo    inet 127.0.0.1/8 scope host lo
1: lo    inet6 ::1/128 scope host
2: eth0    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0
2: eth0    inet6 fe80::5/64 scope link
3: eth1    inet 8.8.4.5/24 scope global eth1
4: eth2    inet6 fd00::5/64 scope global
"""
KNOWN = "10.0.0.12       STREAM gpu2.example.org\n10.0.0.12       DGRAM\nfd00::12    STREAM\n"
GPU1, GPU2 = Peer("gpu1", "10.0.0.11"), Peer("gpu2.example.org")
HERE, FAR, OUTSIDE = Peer("c", connection="local"), Peer("far", "192.168.7.9"), Peer("out", "8.8.4.9")


def said(text: str) -> dict[str, object]:
    return {"rc": 0, "stdout": text, "stderr": ""}


def systemd(**more: object) -> Settings:
    return Settings(mirror_runtime="systemd", **more)


@pytest.mark.parametrize(
    ("me", "others", "bind"),
    [
        (Peer("m", "10.0.0.5"), [GPU1], "10.0.0.5"),
        (Peer("10.0.0.5"), [HERE], "10.0.0.5"),
        (Peer("m", "[fd00::5]"), [GPU1], "fd00::5"),
        (Peer("m", connection="local"), [HERE, Peer("localhost"), Peer("x", "127.0.0.3")], "127.0.0.1"),
    ],
)
def test_it_listens_where_the_inventory_reaches_it(me: Peer, others: list[Peer], bind: str) -> None:
    assert reach.bound(systemd(), me, others).mirror_bind == bind


@pytest.mark.parametrize("me", [Peer("mirror.example.org"), Peer("m", "models.lan"), Peer("m", connection="local")])
def test_an_address_that_nobody_knows_is_asked_for(me: Peer) -> None:
    with pytest.raises(ReaperError) as found:
        reach.bound(systemd(), me, [GPU1])
    assert found.value.place == f"{me.name}/mirror_bind"
    given = {"mirror_bind": found.value.hint.split("mirror_bind: ")[1].partition(";")[0]}
    assert reach.bound(systemd(**given), me, [GPU1]).mirror_bind == "10.0.0.5"


@pytest.mark.parametrize(
    ("others", "allow"),
    [
        ([GPU1, HERE], ("10.0.0.0/24",)),
        ([GPU1, GPU2], ("10.0.0.0/24", "fd00::/64")),
        ([FAR], ("192.168.7.9",)),
        ([OUTSIDE], ("8.8.4.9",)),
        ([HERE], ()),
    ],
    ids=["its private network", "by name", "behind a router", "a public network", "nobody else"],
)
def test_the_networks_of_its_hosts_may_pull(others: list[Peer], allow: tuple[str, ...]) -> None:
    raw = {reach.OWN: said(ADDRESSES), "peer gpu2.example.org": said(KNOWN)}
    assert reach.allowed(systemd(), others, raw).mirror_allow == allow


def test_a_host_that_the_mirror_does_not_know_is_told_with_what_to_write() -> None:
    with pytest.raises(ReaperError, match="gpu2") as found:
        reach.allowed(systemd(), [GPU2], {reach.OWN: said(ADDRESSES), "peer gpu2.example.org": {"rc": 2}})
    assert found.value.hint == "write the networks that may pull, such as [10.0.0.0/8]"
    wanted = systemd(mirror_allow=["10.0.0.0/8"])
    assert reach.allowed(wanted, [GPU2], {}) == wanted
    assert [ask["id"] for ask in reach.asks(wanted, [GPU2])] == [reach.OWN]
    assert [ask["id"] for ask in plan.asks(systemd(), [GPU1, GPU2, HERE])].count("peer gpu2.example.org") == 1


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"mirror_bind": "10.9.9.9"}, "write one of its own: 10.0.0.5, fe80::5, 8.8.4.5, fd00::5"),
        ({"mirror_bind": "fd00::5", "mirror_runtime": "docker"}, "who an IPv6 client is"),
        ({"mirror_bind": "fd00::5", "mirror_runtime": "docker", "mirror_allow": ["::/0"]}, ""),
        ({"mirror_bind": "0.0.0.0"}, ""),
        ({"mirror_bind": "127.9.9.9"}, ""),
        ({"mirror_bind": "10.0.0.5"}, ""),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(given: dict[str, object], part: str) -> None:
    found = reach.blockers(
        systemd(**given) if "mirror_runtime" not in given else Settings(**given), {reach.OWN: said(ADDRESSES)}
    )
    assert part in "".join(found)
    assert bool(found) == bool(part)


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({}, ["127.0.0.1", "::1", "all"]),
        (
            {"mirror_bind": "10.0.0.5", "mirror_allow": ["10.0.0.0/24"]},
            ["127.0.0.1", "::1", "10.0.0.5", "10.0.0.0/24", "all"],
        ),
        ({"mirror_runtime": "docker", "mirror_bind": "127.0.0.1"}, []),
    ],
)
def test_nobody_else_may_pull(given: dict[str, object], lines: list[str]) -> None:
    text = desired_state.of(Settings(**{"mirror_runtime": "systemd", **given})).files[0].text
    server = text.partition("# Port 80")[2].partition("location")[0]
    rows = [line.split()[1].rstrip(";") for line in server.splitlines() if line.strip().startswith(("allow ", "deny "))]
    assert rows == lines


def test_the_plan_says_where_it_listens_and_for_whom() -> None:
    wanted = systemd(mirror_bind="10.0.0.5", mirror_sources={"hf.co": 8081}, mirror_allow=["10.0.0.0/24"])
    [start] = [
        row for row in plan.for_role(wanted, {"debian": {"content": "13"}})["actions"] if row["id"] == "mirror/start"
    ]
    assert "10.0.0.5:80, 10.0.0.5:8081; who may pull: 10.0.0.0/24" in start["reason"]
    open_to_all = systemd(mirror_bind="0.0.0.0", mirror_allow=["0.0.0.0/0", "::/0"])
    assert reach.description(open_to_all).endswith("who may pull: everybody who reaches it")
