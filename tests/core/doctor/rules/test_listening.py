"""Who answers, and where: never healthy while that is not what is desired."""

from __future__ import annotations

import pytest

from reaper_ops.core.doctor.rules.state import judge
from reaper_ops.core.facts import listening as facts_of_sockets
from reaper_ops.core.facts.answers import Answers
from reaper_ops.core.facts.model import Exchange, Facts, Holder, System
from reaper_ops.core.health.probe import observe
from reaper_ops.core.health.report import HostReport, Report, State
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import listening

ANSWERS = (
    Exchange("/api/version", status=200, body='{"version":"0.35.1"}', phase="done"),
    Exchange("/api/tags", status=200, body='{"models":[]}', phase="done"),
    Exchange("/api/ps", status=200, body='{"models":[]}', phase="done"),
)


def judged(*holders: Holder, settings: Settings | None = None) -> HostReport:
    wanted = settings or Settings()
    facts = Facts("h", System(), listening=holders)
    return judge(wanted, observe("h", "http://127.0.0.1:11434", ANSWERS), facts)


def test_a_server_that_listens_on_more_than_desired_is_not_healthy() -> None:
    report = judged(Holder("0.0.0.0", 11434, 7, "ollama", ours=True))
    assert (report.state, report.cause) == (State.DEGRADED, "exposed-unauthenticated")
    assert "0.0.0.0:11434" in report.summary
    assert Report("up", (report,)).exit_code == 3


def test_an_answer_of_somebody_elses_server_is_not_ours() -> None:
    report = judged(Holder("127.0.0.1", 11434, 9, "root", ("ollama", "serve")))
    assert (report.state, report.cause) == (State.NOT_OLLAMA, "port-taken")
    assert "pid 9, user root: ollama serve" in report.evidence[0].text


def test_ours_alone_and_others_on_other_addresses_are_healthy() -> None:
    ours = Holder("127.0.0.1", 11434, 7, "ollama", ours=True)
    assert judged(ours, Holder("10.0.0.5", 11434, 9, "root")).state is State.HEALTHY
    assert judged(ours, Holder("127.0.0.1", 40001, 8, "ollama", ours=True)).state is State.HEALTHY


def test_a_host_that_is_only_observed_may_listen_anywhere() -> None:
    report = judged(Holder("0.0.0.0", 11434, 7, ours=True), settings=Settings(ollama_managed=False))
    assert report.state is State.HEALTHY


@pytest.mark.parametrize(
    ("bind", "address", "apart", "overlaps"),
    [
        ("127.0.0.1", "127.0.0.1", False, True),
        ("127.0.0.1", "0.0.0.0", False, True),
        ("127.0.0.1", "::", False, True),
        ("127.0.0.1", "::", True, False),
        ("127.0.0.1", "::1", False, False),
        ("127.0.0.1", "10.0.0.5", False, False),
        ("0.0.0.0", "10.0.0.5", False, True),
        ("::1", "0.0.0.0", False, False),
        ("::1", "::", True, True),
    ],
)
def test_only_an_address_that_overlaps_ours_is_in_the_way(bind: str, address: str, apart: bool, overlaps: bool) -> None:
    row = Holder(address, 11434, 9, ipv6_only=apart)
    assert bool(listening.strangers((row,), bind, 11434)) is overlaps
    assert not listening.strangers((Holder(address, 8080, 9),), bind, 11434)


@pytest.mark.parametrize(("address", "state"), [("127.0.0.1", State.HEALTHY), ("0.0.0.0", State.DEGRADED)])
def test_where_the_container_is_published_counts_too(address: str, state: State) -> None:
    settings = Settings(ollama_runtime="docker")
    row = {
        "address": address,
        "port": 11434,
        "pid": 5,
        "cgroup": "/system.slice/docker.service",
        "container": "ollama a:1",
    }
    holders = facts_of_sockets.parse(settings, Answers({"port": {"rows": [row]}}))
    assert judged(*holders or (), settings=settings).state is state


def test_the_units_server_is_not_the_process_that_a_user_runs() -> None:
    row = {"address": "127.0.0.1", "port": 11434, "pid": 5, "cgroup": "/system.slice/ollama.service"}
    for runtime, state in (("systemd", State.HEALTHY), ("process", State.NOT_OLLAMA)):
        settings = Settings.model_validate({"ollama_runtime": runtime})
        holders = facts_of_sockets.parse(settings, Answers({"port": {"rows": [row]}}))
        assert judged(*holders or (), settings=settings).state is state


def test_another_container_of_that_name_is_not_the_unit() -> None:
    row = {"address": "127.0.0.1", "port": 11434, "pid": 5, "container": "ollama a:1"}
    holders = facts_of_sockets.parse(Settings(), Answers({"port": {"rows": [row]}}))
    assert judged(*holders or ()).state is State.NOT_OLLAMA
