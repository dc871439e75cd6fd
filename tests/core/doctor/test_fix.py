"""What may be done by itself, what is asked, and in which order."""

from __future__ import annotations

import pytest

from reaper_ops.core.doctor.diagnosis import Cause, Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.fix import ACTIONS, FIRST, LAST, Proposal, directories, hurts, in_order, proposals
from reaper_ops.core.facts.model import Exchange, Facts, System
from reaper_ops.core.facts.model_store import ModelStore, StoredBlob
from reaper_ops.core.facts.traces import DockerContainer, Running, Traces
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.inventory.settings import Settings

START = Step("Start it.", "systemctl start ollama", Automate.SAFE, "start")
RESTART = Step("Restart it.", "systemctl restart ollama", Automate.SAFE, "restart")
PULL = Step("Pull it again.", "", Automate.ASK, "pull")
REBOOT = Step("Reboot.", "reboot", Automate.NEVER)
LOADED = '{"models": [{"name": "tiny:latest", "size": 1}]}'


def cause(id_: str, *steps: Step, **values: str) -> Cause:
    return Cause(Finding(id_, (Evidence("x", "y"),), values=values, severity=Severity.ERROR, id=id_), (), steps, "")


def sick(*causes: Cause) -> FleetDiagnosis:
    return FleetDiagnosis((Diagnosis("h1", State.CONNECTION_REFUSED, causes=causes),))


def facts(ps: str = '{"models": []}', **traces: object) -> Facts:
    said = (Exchange("/api/ps", "done", status=200, body=ps),)
    return Facts("h1", System(), exchanges=said, traces=Traces(**traces))  # type: ignore[arg-type]


def test_only_what_an_action_does_is_proposed() -> None:
    found = proposals(sick(cause("a", START, REBOOT)), {"h1": facts()})
    assert [(p.id, p.action, p.is_safe) for p in found] == [("a", "start", True)]


def test_the_same_action_is_proposed_once() -> None:
    assert len(proposals(sick(cause("a", START), cause("b", START)), {})) == 1
    two = proposals(sick(cause("a", PULL, model="x"), cause("b", PULL, model="y")), {})
    assert [dict(p.values) for p in two] == [{"model": "x"}, {"model": "y"}]


def test_a_restart_is_asked_while_a_model_is_loaded() -> None:
    (found,) = proposals(sick(cause("a", RESTART)), {"h1": facts(LOADED)})
    assert not found.is_safe
    assert "tiny:latest is loaded" in found.against[0]


def test_a_restart_is_asked_while_a_download_is_under_way() -> None:
    fresh, old = StoredBlob("sha256-aa-partial", 5, 20), StoredBlob("sha256-bb-partial", 5, 90_000)
    assert "20 s ago" in hurts("restart", facts(stores=(ModelStore("/m", blobs=(fresh, old)),)))[0]
    assert hurts("restart", facts(stores=(ModelStore("/m", blobs=(old,)),))) == ()


def test_systemd_is_not_reloaded_under_a_gpu_container_unasked() -> None:
    running = DockerContainer("1", "ollama", "ollama/ollama", "running", gpu=("nvidia",))
    assert "ollama can lose the GPU" in hurts("reload", facts(containers=(running,)))[0]
    stopped = DockerContainer("1", "ollama", "ollama/ollama", "exited", gpu=("nvidia",))
    assert hurts("reload", facts(containers=(stopped,))) == ()


def test_every_action_has_its_place_in_the_order() -> None:
    assert {*FIRST, "apply", *LAST} == set(ACTIONS)
    all_of_them = [Proposal("h", "i", action, "", "", Automate.SAFE, {}) for action in sorted(ACTIONS)]
    first, converge, last = in_order(all_of_them)
    assert [p.action for p in (*first, *converge, *last)] == [*FIRST, "apply", *LAST]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/var/lib/ollama/models/../../../../etc/cron.d", "no plain path"),
        ("/var/lib/ollama/models/./x", "no plain path"),
        ("var/lib/ollama", "no plain path"),
        ("/var/lib/ollama/models/x\n", "no plain path"),
        ("/var/lib/ollamax", "outside"),
        ("/etc", "outside"),
        ("/", "outside"),
        ("", "outside"),
    ],
)
def test_what_a_log_line_names_is_not_given_away_unless_it_is_ours(path: str, said: str) -> None:
    safe = Step("Make it.", "", Automate.SAFE, "own")
    ours = directories(Settings(), facts())
    (found,) = proposals(sick(cause("service-home-missing", safe, path=path)), {"h1": facts()}, {"h1": ours})
    assert not found.is_safe
    assert said in found.against[0]


@pytest.mark.parametrize("path", ["/var/lib/ollama", "/var/lib/ollama/models", "/srv/home/.ollama"])
def test_home_and_store_are_given_to_the_user_of_the_service(path: str) -> None:
    safe = Step("Make it.", "", Automate.SAFE, "own")
    known = facts(user_home="/srv/home")
    ours = {"h1": directories(Settings(), known)}
    (found,) = proposals(sick(cause("service-home-missing", safe, path=path)), {"h1": known}, ours)
    assert found.is_safe


def test_a_process_is_ended_as_the_one_that_was_seen() -> None:
    """Its number alone may be another's by then; at 1000 s it was 40 s old."""
    seen = facts(now=1000.0, processes=(Running(7, "ollama serve", age=90), Running(11, "ollama serve", age=40)))
    end = Step("End it.", "kill {pid}", Automate.ASK, "stop-process")
    (found,) = proposals(sick(cause("a", end, pid="11")), {"h1": seen})
    assert dict(found.values) == {"pid": "11", "began": "960"}
    (found,) = proposals(sick(cause("a", end, pid="12")), {"h1": seen})
    assert dict(found.values) == {"pid": "12"}, "a process of which only the number is known"
