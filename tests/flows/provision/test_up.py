"""What `up` makes of a run: what changed, what failed and why, which host was lost, which one it left alone."""

from __future__ import annotations

from typing import Any

import pytest

from reaper_ops.adapters import ansible, sweep
from reaper_ops.adapters.ansible import Event, Run, Source
from reaper_ops.core.facts.model import Exchange, Facts, System
from reaper_ops.core.health.report import HostReport, Report, State
from reaper_ops.core.inventory import hosts as inventory
from reaper_ops.core.inventory.hosts import Inventory
from reaper_ops.core.provision import applied
from reaper_ops.core.provision.plan import Action, Plan
from reaper_ops.flows.inventory.gather import Gathered
from reaper_ops.flows.provision import up
from reaper_ops.flows.provision.plan import Planned

COPIED = {"event": "changed", "host": "a", "task": "Bring the archives", "id": "ollama/release", "result": {}}
REFUSED = {
    "event": "failed",
    "host": "a",
    "task": "Install the release",
    "id": "ollama/release",
    "result": {"msg": "x.tgz: SHA-256 is 00, expected 11 (user)", "next_step": "compare ollama_release_sha256"},
}
WROTE = {"event": "changed", "host": "a", "task": "Write the settings", "id": "ollama/settings", "result": {}}
DIED = {"event": "unreachable", "host": "a", "task": "Install", "id": "baseline/packages", "result": {"msg": "gone"}}


def run(*events: Event) -> Run:
    return ansible.collected(list(events))


def hosts() -> Inventory:
    row = {"ansible_host": "192.0.2.1", "ollama_bind": "127.0.0.1"}
    return inventory.parse({"_meta": {"hostvars": {"a": row}}, "all": {"hosts": ["a"]}}, {})


def proved(monkeypatch: pytest.MonkeyPatch, done: Run, again: Gathered) -> Report:
    monkeypatch.setattr(sweep, "sweep", lambda urls, ladder: {})
    refused = Exchange("/api/version", "connect", "refused", "Connection refused")
    before = Facts("a", System(os_id="debian"), exchanges=(refused,))
    plan = Plan("a", (Action("ollama/release", "x", "is not there"),))
    planned = Planned(hosts(), Gathered({"a": before}), (plan,))
    return up.prove(Source(("x",)), planned, up._renewed(planned, again), done)


def test_a_failed_action_is_no_change_and_has_a_next_step_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(WROTE, COPIED, REFUSED)
    assert up.changes(done) == {"a": ("ollama/settings",)}
    again = Facts("a", System(os_id="debian"))
    (host,) = proved(monkeypatch, done, Gathered({"a": again})).hosts
    assert host.changed == ("ollama/settings",)
    assert host.next_step == "compare ollama_release_sha256"
    assert host.problem == "Install the release: x.tgz: SHA-256 is 00, expected 11 (user)"


def blocked(monkeypatch: pytest.MonkeyPatch, *blockers: str) -> HostReport:
    """The report of `up` about a host that is not touched, and whose server does not answer."""
    monkeypatch.setattr(sweep, "sweep", lambda urls, ladder: {})
    refused = Exchange("/api/version", "connect", "refused", "Connection refused")
    gathered = Gathered({"a": Facts("a", System(os_id="debian"), exchanges=(refused,))})
    planned = Planned(hosts(), gathered, (Plan("a", (Action("ollama/unit", "x", "is not there"),), blockers),))
    (host,) = up.prove(Source(("x",)), planned, gathered, None).hosts
    return host


def test_the_next_step_of_a_blocked_host_removes_what_blocks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    host = blocked(
        monkeypatch, "port 11434 is held by nginx (pid 7); stop it: `sudo kill 7`", "/x is a link; remove it"
    )
    assert host.problem == "was not touched: port 11434 is held by nginx (pid 7); /x is a link"
    assert host.next_step == "stop it: `sudo kill 7`; and remove it; then `reaper-ops up`"


def test_up_is_named_once_where_the_blocker_names_it_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    host = blocked(monkeypatch, "/x undoes our settings; remove that line, then `reaper-ops up`")
    assert host.next_step == "remove that line, then `reaper-ops up`"


def test_a_failure_that_the_playbook_ignores_leaves_the_change() -> None:
    assert up.changes(run(COPIED, {**REFUSED, "ignored": True})) == {"a": ("ollama/release",)}


def test_a_host_that_dies_on_the_way_is_unreachable_and_nothing_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    again = Gathered(problems={"a": "cannot be reached: no route"}, lost=frozenset("a"))
    report = proved(monkeypatch, run(WROTE, DIED), again)
    (host,) = report.hosts
    assert (host.state, host.summary) == (State.UNREACHABLE, "was lost during baseline/packages")
    assert [item.text for item in host.evidence] == ["cannot be reached: no route"]
    assert host.changed == ("ollama/settings",)
    assert report.exit_code == 3


def test_a_host_that_could_not_be_read_again_is_not_judged_by_what_was_read_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (host,) = proved(monkeypatch, run(WROTE), Gathered(problems={"a": "Python died"})).hosts
    assert (host.state, host.evidence) == (None, ())


def test_a_host_that_was_away_only_for_a_moment_has_its_state_and_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    (host,) = proved(monkeypatch, run(DIED), Gathered({"a": Facts("a", System(os_id="debian"))})).hosts
    assert host.problem == "could not be reached: gone"
    assert host.state is not State.UNREACHABLE


def test_a_withheld_host_is_a_warning_whatever_its_state() -> None:
    kept = HostReport("a", State.CONNECTION_REFUSED, withheld=("x",))
    assert Report("up", (kept,)).exit_code == 4
    assert Report("up", (kept, HostReport("b", State.HEALTHY))).exit_code == 4
    assert Report("up", (kept, HostReport("b", State.TIMEOUT))).exit_code == 3
    assert Report("up", (kept, HostReport("b", None, problem="lost"))).exit_code == 5


COMMAND = {"msg": "non-zero return code", "rc": 255}
SYSCTL = 'sysctl: permission denied on key "vm.swappiness"'
ONE_OF_TWO = [{"item": "zstd", "changed": True}, {"item": "x", "failed": True, "msg": "no package x"}]
ITEMS: list[tuple[dict[str, Any], str]] = [
    ({"msg": "All items completed", "results": ONE_OF_TWO}, "x: no package x"),
    ({"msg": "All items completed", "results": [{"item": {}, "unreachable": True, "msg": "ssh died"}]}, "ssh died"),
    ({"results": [{"item": n, "failed": True, "msg": "no"} for n in "abcd"]}, "a: no; b: no; c: no; and 1 more"),
    ({**COMMAND, "cmd": ["sysctl", "-p"], "stderr": SYSCTL + "\n"}, f"sysctl failed with exit code 255: {SYSCTL}"),
    ({**COMMAND, "cmd": "mount /x", "stdout": "busy", "stderr": ""}, "mount failed with exit code 255: busy"),
    ({**COMMAND, "cmd": ["false"]}, "false failed with exit code 255: it wrote no reason"),
    (
        {"msg": "MODULE FAILURE.\nSee", "module_stderr": "Traceback:\n  x\nOSError: full\n"},
        "MODULE FAILURE: OSError: full",
    ),
    ({"msg": "MODULE FAILURE", "module_stderr": "sudo: no\nmore\n"}, "MODULE FAILURE: sudo: no"),
    ({}, "no message"),
]


@pytest.mark.parametrize(("result", "text"), ITEMS)
def test_the_reason_is_the_one_of_the_item_or_the_program(result: dict[str, Any], text: str) -> None:
    done = run({"event": "failed", "host": "a", "task": "", "result": result})
    assert done.failed == {"a": text}


@pytest.mark.parametrize(
    ("judged", "step"),
    [("give it more memory", "give it more memory"), ("reaper-ops up -i x -l a", applied.MEND), ("", applied.MEND)],
)
def test_the_judge_names_the_next_step_unless_it_is_the_same_failure_again(
    monkeypatch: pytest.MonkeyPatch, judged: str, step: str
) -> None:
    before = HostReport("a", State.OUT_OF_MEMORY, cause="kernel-oom-kill", next_step=judged)
    monkeypatch.setattr(up.probe, "probe", lambda *_args, **_more: Report("probe", (before,)))
    (host,) = proved(monkeypatch, run({**REFUSED, "result": {"msg": "no"}}), Gathered()).hosts
    assert host.next_step == step


def test_an_up_with_nothing_to_do_runs_nothing_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Facts("a", System(os_id="debian"))
    planned = Planned(hosts(), Gathered({"a": here}), (Plan("a"),))

    def never(*_args: object, **_more: object) -> Any:
        raise AssertionError("a second pass")

    monkeypatch.setattr(up.planning, "plan", lambda source, on_event=None: planned)
    monkeypatch.setattr(ansible, "playing", never)
    monkeypatch.setattr(sweep, "sweep", lambda urls, ladder: {})
    outcome = up.up(Source(("x",)), confirm=never)
    assert (outcome.applied, outcome.changed) == (False, {})
