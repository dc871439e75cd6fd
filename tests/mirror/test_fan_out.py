"""Eight simulated Ollamas pull at once through the real mirror; the upstream counts what it sent."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from mirror import site
from subject import Started, Starter, simulated

HOSTS = 8
SIZE = 96 << 20


@pytest.fixture
def ollamas(short):
    starter = Starter("simulated", simulated(short / "tree"), short / "hosts")
    started = [starter.start() for _ in range(HOSTS)]
    for one in started:
        one.wait_ready()
    yield started
    starter.stop()


def pull(one: Started, mirror: str) -> str:
    """Pulls by the mirror's name, gives the canonical name, deletes the alias; the digest under that name."""
    alias = f"{mirror}/library/big:1"
    body = {"model": alias, "insecure": True, "stream": True}
    answer = one.subject.ask("POST", "/api/pull", body, timeout=300)
    assert answer.lines()[-1] == {"status": "success"}, answer.lines()[-1]
    assert one.subject.ask("POST", "/api/copy", {"source": alias, "destination": "big:1"}).status == 200
    assert one.subject.ask("DELETE", "/api/delete", {"model": alias}).status == 200
    [model] = one.subject.ask("GET", "/api/tags").json()["models"]
    assert model["name"] == "big:1"
    return str(model["digest"])


def copies(upstream: site.Upstream) -> float:
    return upstream.bytes_sent / SIZE


def test_one_copy_comes_in_for_eight_hosts(short, resolver, upstream, ollamas, record_property):
    digest = site.publish(upstream.root, "library/big:1", SIZE)
    wanted = site.settings(short / "m", f"http://localhost:{upstream.server_address[1]}", resolver)
    with site.running(wanted) as mirror, ThreadPoolExecutor(HOSTS) as pool:
        digests = set(pool.map(lambda one: pull(one, mirror), ollamas))
    record_property("wan_copies", copies(upstream))
    print(f"WAN copies: {copies(upstream):.4f}")
    assert digests == {digest}
    assert 1 <= copies(upstream) <= 1.02


def test_upstream_killed_half_way_costs_little(short, resolver, upstream, ollamas, record_property):
    digest = site.publish(upstream.root, "library/big:1", SIZE)
    wanted = site.settings(short / "m", f"http://localhost:{upstream.server_address[1]}", resolver)
    back: list[site.Upstream] = []

    upstream.sent.halt = (SIZE + site.SLICE) // 2

    def accident() -> None:
        assert upstream.sent.reached.wait(120)
        upstream.kill()
        upstream.sent.halt = 0
        upstream.sent.released.set()
        time.sleep(1)
        back.append(upstream.again())

    thread = threading.Thread(target=accident)
    with site.running(wanted) as mirror, ThreadPoolExecutor(HOSTS) as pool:
        thread.start()
        digests = set(pool.map(lambda one: pull(one, mirror), ollamas))
        thread.join()
    back[0].kill()
    record_property("wan_copies", copies(upstream))
    print(f"WAN copies: {copies(upstream):.4f}")
    assert digests == {digest}
    assert 1 < copies(upstream) <= 1.05
