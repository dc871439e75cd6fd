"""What `doctor --slow` measures, on a simulated server and on a real one where the environment names its program.

The way over hosts is led by a stand-in for Ansible.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from subject import REAL_BIN, Starter, Subject, simulated

from reaper_ops.adapters import ollama
from reaper_ops.adapters.ansible import Run, Source
from reaper_ops.core.doctor import timing
from reaper_ops.core.facts.exchanges import Request
from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.inventory.hosts import Host, Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.flows.doctor import latency as slow
from reaper_ops.lab import models
from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry

SOURCE = Source(("hosts.yml",))


@pytest.fixture(scope="module", params=["simulated", "real"] if REAL_BIN else ["simulated"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Subject, str]]:
    """A server with one small model on its disk."""
    root, home = tmp_path_factory.mktemp("registry"), tmp_path_factory.mktemp("server")
    models.publish(root, {"library/tiny:latest": gguf.Shape("tiny", seed=1)})
    argv = [REAL_BIN] if request.param == "real" else simulated(home / "tree")
    registry, starter = LabRegistry(root).start(), Starter(request.param, argv, home)
    subject = starter.start().wait_ready()
    name = f"{registry.name}/library/tiny:latest"
    subject.pull(name)
    yield subject, name
    starter.stop()
    registry.stop()


def host(name: str, **settings: Any) -> Host:
    return Host(name, Settings.model_validate({"ollama_version": "0.35.1", **settings}))


def unload(subject: Subject, name: str) -> None:
    subject.generate(name, keep_alive=0)


def test_nothing_resident_is_nothing_measured(server: tuple[Subject, str]) -> None:
    subject, name = server
    unload(subject, name)
    found = slow.measure(SOURCE, Inventory((host("a", ollama_base_url=subject.url),)), ["a"], {})
    assert found == {"a": ()}
    assert subject.ask("GET", "/api/ps").json()["models"] == []


def test_with_load_the_cold_start_comes_first_and_two_at_once_last(server: tuple[Subject, str]) -> None:
    subject, name = server
    unload(subject, name)
    inventory = Inventory((host("a", ollama_base_url=subject.url),))
    found = slow.measure(SOURCE, inventory, ["a"], {}, load=True)["a"]
    assert [(t.cold, t.parallel, t.error) for t in found] == [
        (True, 1, ""),
        (False, 1, ""),
        (False, 2, ""),
        (False, 2, ""),
    ]
    assert all(t.model == name and t.total > 0 and t.eval_tokens > 1 for t in found)
    assert found[0].load > found[1].load


def test_a_server_that_is_gone_has_no_timings() -> None:
    inventory = Inventory((host("a", ollama_base_url="http://127.0.0.1:1"),))
    assert slow.measure(SOURCE, inventory, ["a"], {}) == {"a": ()}


def test_a_server_on_a_remote_loopback_is_asked_on_its_host(
    server: tuple[Subject, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, name = server
    subject.generate(name)
    rounds: list[Any] = []

    def play(book: str, source: Source, *, variables: Any, **more: Any) -> Run:
        rounds.append((book, variables["reaper_budget"], len(variables["reaper_asks"]["a"])))
        asks = variables["reaper_asks"]["a"]
        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(lambda ask: ollama.ask(subject.url, Request(**ask["requests"][0])), asks))
        answers = {ask["id"]: {"exchanges": [vars(e)]} for ask, e in zip(asks, said, strict=True)}
        return Run(results=({"host": "a", "result": {"answers": answers}},))

    monkeypatch.setattr("reaper_ops.adapters.ansible.playbook", play)
    found = slow.measure(SOURCE, Inventory((host("a"),)), ["a"], {"a": Facts("a", System())})["a"]
    assert [(t.parallel, t.error) for t in found] == [(1, ""), (2, ""), (2, "")]
    assert rounds[1] == ("ask.yml", timing.WARM_TIMEOUT + slow.SPARE, 1)
    assert rounds[-1][2] == 2


def test_a_host_that_does_not_tell_ends_its_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Run(results=(), unreachable={"a": "no route"})
    monkeypatch.setattr("reaper_ops.adapters.ansible.playbook", lambda *args, **more: gone)
    assert slow.measure(SOURCE, Inventory((host("a"),)), ["a"], {"a": Facts("a", System())}) == {"a": ()}
