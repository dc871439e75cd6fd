from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from servers import Server, free_port, http_server

from reaper_ops.adapters.ansible import Run, Source
from reaper_ops.core.facts.model import Exchange, Facts, System, Unit
from reaper_ops.core.health.report import Report, State
from reaper_ops.core.inventory.hosts import Host, Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.flows.health import probe, watch
from reaper_ops.flows.inventory.gather import Gathered

SOURCE = Source(("hosts.yml",))
STOPPED = Unit("ollama.service", {"LoadState": "loaded", "ActiveState": "inactive", "Result": "success"})
VERSION = Exchange("/api/version", "done", status=200, body='{"version":"0.35.1"}')
TAGS = Exchange("/api/tags", "done", status=200, body='{"models":[]}')
PS = Exchange("/api/ps", "done", status=200, body='{"models":[{"name":"a","size":9,"size_vram":9}]}')


def host(name: str, connection: str = "ssh", **settings: Any) -> Host:
    return Host(name, Settings.model_validate({"ollama_version": "0.35.1", **settings}), connection)


def facts(name: str, **values: Any) -> Facts:
    return Facts(host=name, system=System(), **values)


@pytest.fixture
def server() -> Iterator[Server]:
    with http_server() as running:
        yield running


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What reading a host would find, and which hosts were read."""
    state: dict[str, Any] = {"facts": {}, "problems": {}, "read": []}

    def gather(source: Source, inventory: Inventory, hosts: Sequence[str], on_event: object) -> Gathered:
        state["read"] += hosts
        return Gathered(
            {name: state["facts"][name] for name in hosts if name in state["facts"]},
            {name: state["problems"][name] for name in hosts if name in state["problems"]},
        )

    monkeypatch.setattr("reaper_ops.flows.inventory.gather.gather", gather)
    return state


def states(report: Report) -> dict[str, State | None]:
    return {found.host: found.state for found in report.hosts}


def test_a_healthy_host_is_asked_directly_and_not_read(server: Server, gathered: dict[str, Any]) -> None:
    inventory = Inventory((host("a", ollama_base_url=server.url),))
    report = probe.probe(SOURCE, inventory)
    assert states(report) == {"a": State.HEALTHY}
    assert report.hosts[0].models == ("tiny:1m",)
    assert gathered["read"] == []


def test_a_sick_host_is_read_and_the_host_explains(gathered: dict[str, Any]) -> None:
    gathered["facts"] = {"a": facts("a", unit=STOPPED)}
    inventory = Inventory((host("a", ollama_base_url=f"http://127.0.0.1:{free_port()}"),))
    found = probe.probe(SOURCE, inventory).hosts[0]
    assert (found.state, found.cause) == (State.CONNECTION_REFUSED, "service-not-running")
    assert found.next_step == "reaper-ops up -i hosts.yml -l a"


def test_a_host_that_is_only_probed_is_never_read(gathered: dict[str, Any]) -> None:
    inventory = Inventory((host("a", ollama_base_url=f"http://127.0.0.1:{free_port()}", ollama_managed=False),))
    assert states(probe.probe(SOURCE, inventory)) == {"a": State.CONNECTION_REFUSED}
    assert gathered["read"] == []


def test_a_server_on_a_remote_loopback_is_asked_on_its_host(gathered: dict[str, Any]) -> None:
    gathered["facts"] = {"a": facts("a", exchanges=(VERSION, TAGS, PS))}
    report = probe.probe(SOURCE, Inventory((host("a"),)))
    assert states(report) == {"a": State.HEALTHY}
    assert report.hosts[0].version == "0.35.1"


def test_deep_takes_a_second_round_on_the_host(gathered: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    gathered["facts"] = {"a": facts("a", exchanges=(VERSION, TAGS, PS)), "b": facts("b", exchanges=(VERSION, TAGS))}
    asked: dict[str, Any] = {}

    def playbook(name: str, source: Source, **kwargs: Any) -> Run:
        asked.update(kwargs, name=name)
        row = {"path": "/api/generate", "phase": "done", "status": 200, "body": '{"response":"x","done":true}'}
        return Run(({"event": "ok", "host": "a", "result": {"answers": {"deep": {"exchanges": [row]}}}},))

    monkeypatch.setattr("reaper_ops.adapters.ansible.playbook", playbook)
    report = probe.probe(SOURCE, Inventory((host("a"), host("b"))), deep=True)
    assert report.hosts[0].summary == "answers, and a loaded model gives tokens"
    assert (asked["name"], asked["limit"]) == ("ask.yml", "a")
    request = asked["variables"]["reaper_asks"]["a"][0]["requests"][0]
    assert (request["method"], request["body"]["model"]) == ("POST", "a")


def test_what_is_known_is_not_read_again(gathered: dict[str, Any]) -> None:
    known = Gathered({"a": facts("a", exchanges=(VERSION, TAGS, PS))}, {"b": "cannot be reached: down"})
    report = probe.probe(SOURCE, Inventory((host("a"), host("b"))), known=known)
    assert gathered["read"] == []
    assert states(report) == {"a": State.HEALTHY, "b": None}
    assert report.exit_code == 5


def test_one_lost_host_hides_no_other(server: Server, gathered: dict[str, Any]) -> None:
    gathered["problems"] = {"lost": "cannot be reached: timed out"}
    inventory = Inventory((host("lost"), host("well", ollama_base_url=server.url)))
    report = probe.probe(SOURCE, inventory)
    assert states(report) == {"lost": None, "well": State.HEALTHY}
    assert report.hosts[0].problem == "cannot be reached: timed out"
    assert report.hosts[0].next_step


def test_a_sick_host_that_cannot_be_read_keeps_its_state(gathered: dict[str, Any]) -> None:
    gathered["problems"] = {"a": "cannot be reached: timed out"}
    inventory = Inventory((host("a", ollama_base_url=f"http://127.0.0.1:{free_port()}"),))
    found = probe.probe(SOURCE, inventory).hosts[0]
    assert found.state is State.CONNECTION_REFUSED
    assert "cannot be reached" in found.notes[-1]


def test_direct_asks_everything_from_here(server: Server, gathered: dict[str, Any]) -> None:
    port = server.server_address[1]
    inventory = Inventory((host("a", ollama_port=port), host("b", ollama_port=free_port())))
    assert states(probe.probe(SOURCE, inventory, direct=True)) == {"a": State.HEALTHY, "b": State.CONNECTION_REFUSED}
    assert gathered["read"] == []


def test_managed_hosts_of_this_machine_are_read_even_when_they_answer(server: Server, gathered: dict[str, Any]) -> None:
    log = 'msg="Load failed" error="model requires more system memory (9 GiB) than is available (1 GiB)"\n'
    gathered["facts"] = {"a": facts("a", journal=log)}
    inventory = Inventory((host("a", "local", ollama_port=server.server_address[1]),))
    assert states(probe.probe(SOURCE, inventory)) == {"a": State.OUT_OF_MEMORY}


def test_by_url(server: Server) -> None:
    found = probe.probe_url(server.url).hosts[0]
    assert (found.state, found.host, found.url) == (State.HEALTHY, "127.0.0.1", server.url)


def test_watch_tells_only_changes(server: Server) -> None:
    slept: list[float] = []
    answers = dict(server.answers)

    def look() -> Report:
        report = probe.probe_url(server.url)
        server.answers = {**answers, "/api/version": (503, '{"error":"server busy, please try again.  maximum"}')}
        return report

    rounds = list(watch.watch(look, 5, rounds=3, sleep=slept.append))
    told = [[change.after.state for change in now.changes] for now in rounds]
    assert told == [[State.HEALTHY], [State.OVERLOADED], []]
    assert slept == [5, 5]
