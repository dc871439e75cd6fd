"""`doctor --fix`: what runs, in which order, and what is taken back when it did not help."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hostile import breaking, each_field

from reaper_ops.adapters.ansible import Run, Source
from reaper_ops.core.doctor.diagnosis import Cause, Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.fix import Proposal
from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.flows.doctor import doctor, fix
from reaper_ops.flows.doctor.doctor import HostSnapshot
from reaper_ops.formats.doctor import fix_text

BARE = Facts("h", System(os_id="debian", version_id="13", arch="x86_64", init="systemd", uid=0))

ASIDE = Step("Set the blob aside.", "", Automate.ASK, "remove-blob")
PULL = Step("Pull it again.", "", Automate.ASK, "pull")
APPLY = Step("Converge the host.", "", Automate.ASK, "apply")


GOOD = tuple(f"good{number}" for number in range(9))


@pytest.mark.parametrize("name", each_field(Facts, "host"))
def test_a_host_that_breaks_every_reader_in_turn_takes_no_remedy_from_the_others(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its facts do while remedies and plans are worked out: nine are offered theirs."""
    told = tuple(host(one, APPLY) for one in (*GOOD, "bad"))
    facts = [*(replace(BARE, host=one) for one in GOOD), breaking(replace(BARE, host="bad"), name)]
    patients = tuple(HostSnapshot(one.host, Settings(), "", facts=its) for one, its in zip(told, facts, strict=True))
    monkeypatch.setattr(doctor, "collect", lambda source, on_event=None: (None, patients))
    monkeypatch.setattr(doctor, "examine", lambda patients, words="": FleetDiagnosis(told))
    shown: list[tuple[FleetDiagnosis, tuple[Proposal, ...]]] = []

    def choose(before: FleetDiagnosis, offered: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
        shown.append((before, offered))
        return ()

    fix.fix(Source(("hosts.yml",)), choose)
    ((before, offered),) = shown
    assert [one.host for one in offered][:9] == list(GOOD)
    assert all(one.plan for one in offered[:9])
    said = next(one.problem for one in before.hosts if one.host == "bad")
    assert len(offered) == 10 or "defect of reaper_ops" in said


def host(name: str, *steps: Step) -> Diagnosis:
    values = {"blob": "sha256-aa", "model": "tiny:latest"}
    finding = Finding("x", (Evidence("a", "b"),), values=values, severity=Severity.ERROR, id="corrupt-manifest")
    state = State.HTTP_ERROR if steps else State.HEALTHY
    return Diagnosis(name, state, causes=(Cause(finding, (), steps, ""),) if steps else ())


@dataclass
class Ansible:
    """Stands in for Ansible: notes what would run; `failing` hosts fail in the playbook of that name."""

    failing: dict[str, str] = field(default_factory=dict)
    ran: list[tuple[str, str, list[str]]] = field(default_factory=list)
    withheld: dict[str, list[str]] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)

    def playbook(self, name: str, source: Source, *, limit: str, variables: Any = None, on_event: Any = None) -> Run:
        for one in limit.split(","):
            fixes = (variables or {}).get("reaper_fixes", {}).get(one, [])
            self.ran.append((name, one, [f"{row['action']}" for row in fixes]))
        self.given |= (variables or {}).get("reaper_confirmed", {})
        kept = [one for one in limit.split(",") if name == "site.yml" and one in self.withheld]
        rows = tuple({"event": "ok", "host": one, "result": {"withheld": self.withheld[one]}} for one in kept)
        failed = {one: f"{name} failed" for one in limit.split(",") if self.failing.get(one) == name}
        return Run(rows, {}, failed)


def fixed(monkeypatch: pytest.MonkeyPatch, ansible: Ansible, *looks: tuple[Diagnosis, ...]) -> fix.Fixed:
    rounds = iter(looks)
    patients = tuple(HostSnapshot(one.host, Settings(), "", facts=BARE) for one in looks[0])
    monkeypatch.setattr(doctor, "collect", lambda source, on_event=None: (None, patients))
    monkeypatch.setattr(doctor, "examine", lambda patients, words="": FleetDiagnosis(next(rounds)))
    monkeypatch.setattr(fix.ansible, "playbook", ansible.playbook)
    return fix.fix(Source(("x",)), lambda checkup, found: found)


def test_quarantine_then_converge_then_pull(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible()
    done = fixed(monkeypatch, ansible, (host("h1", PULL, APPLY, ASIDE),), (host("h1"),))
    assert ansible.ran == [
        ("fix.yml", "h1", ["remove-blob"]),
        ("site.yml", "h1", []),
        ("fix.yml", "h1", ["pull"]),
        ("fix.yml", "h1", ["discard"]),
    ]
    assert all(outcome.helped and not outcome.undone for outcome in done.outcomes)


def test_to_apply_is_offered_with_its_plan_which_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible()
    done = fixed(monkeypatch, ansible, (host("h1", APPLY),), (host("h1"),))
    (proposal,) = (outcome.proposal for outcome in done.outcomes)
    shown = {action.id for action in proposal.plan}
    assert {"ollama/unit", "ollama/start", "manifest/record"} <= shown
    assert set(ansible.given["h1"]["steps"]) == shown
    assert "ollama/unit /etc/systemd/system/ollama.service: is missing" in fix_text.offer((proposal,))


def test_what_changed_since_it_was_shown_is_not_done_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible(withheld={"h1": ["gpu/modules: not in the plan"]})
    done = fixed(monkeypatch, ansible, (host("h1", APPLY, PULL),), (host("h1", APPLY, PULL),))
    assert ("fix.yml", "h1", ["pull"]) not in ansible.ran
    assert {outcome.problem for outcome in done.outcomes} == {
        "changed since it was shown: gpu/modules: not in the plan"
    }


def test_what_cannot_be_applied_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "BARE", replace(BARE, system=replace(BARE.system, uid=1000)))
    done = fixed(monkeypatch, Ansible(), (host("h1", APPLY),))
    assert done.outcomes == ()


def test_what_did_not_help_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible()
    sick = (host("h1", ASIDE, PULL),)
    done = fixed(monkeypatch, ansible, sick, sick)
    assert ansible.ran[-1] == ("fix.yml", "h1", ["restore"])
    assert {(o.proposal.action, o.helped, o.undone) for o in done.outcomes} == {
        ("remove-blob", False, True),
        ("pull", False, False),
    }


def test_a_host_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible(failing={"h1": "site.yml"})
    sick, after = (host("h1", APPLY, PULL), host("h2", APPLY, PULL)), (host("h1", APPLY, PULL), host("h2"))
    done = fixed(monkeypatch, ansible, sick, after)
    assert ("fix.yml", "h1", ["pull"]) not in ansible.ran
    assert ("fix.yml", "h2", ["pull"]) in ansible.ran
    problems = {o.proposal.host: o.problem for o in done.outcomes}
    assert problems == {"h1": "site.yml failed", "h2": ""}


def test_nothing_runs_that_was_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    ansible = Ansible()
    monkeypatch.setattr(fix.ansible, "playbook", ansible.playbook)
    patients = (HostSnapshot("h1", Settings(), ""),)
    monkeypatch.setattr(doctor, "collect", lambda source, on_event=None: (None, patients))
    monkeypatch.setattr(doctor, "examine", lambda patients, words="": FleetDiagnosis((host("h1", ASIDE),)))
    seen: list[Proposal] = []
    done = fix.fix(Source(("x",)), lambda checkup, found: seen.extend(found) or ())
    assert [proposal.action for proposal in seen] == ["remove-blob"]
    assert (ansible.ran, done.outcomes) == ([], ())
    assert done.after is done.before
