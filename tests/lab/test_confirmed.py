"""`up` on a host that changes between the plan and its confirmation: what was confirmed is what runs, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from subject import free_ports

from reaper_ops.adapters import ansible, plan_file
from reaper_ops.cli.program import run as program
from reaper_ops.core.provision.plan_file import PlanFile
from reaper_ops.flows.lab import lab as rehearsal
from reaper_ops.flows.provision import up
from reaper_ops.flows.provision.plan import Planned
from reaper_ops.flows.provision.up import UpOutcome

HOST = "lab-cpu"
SOURCE = ansible.Source(rehearsal.source().inventory, HOST)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of one host of the lab; nothing is installed there yet."""
    root = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REAPER_OPS_LAB_DIR", str(root))
        patch.setenv("REAPER_OPS_LAB_PORT", str(free_ports(3)))
        patch.setenv("PYTHONPATH", os.getcwd())
        rehearsal.up()
        yield root / "hosts" / HOST / "ollama"
        rehearsal.down()


def bring(hook: Callable[[Planned], None] = lambda planned: None, given: PlanFile | None = None) -> UpOutcome:
    """`up` of the one host; `hook` is what happens while somebody reads the plan."""

    def confirm(planned: Planned) -> bool:
        hook(planned)
        return True

    return up.up(SOURCE, confirm=confirm, given=given)


def test_a_file_that_appeared_meanwhile_is_left_alone_and_the_next_up_shows_it(home: Path) -> None:
    def write(_planned: Planned) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "env.json").write_text("{}")

    outcome = bring(write)
    (host,) = outcome.report.hosts
    assert any(line.startswith("ollama/environment ") for line in host.withheld), host
    assert (outcome.report.exit_code, outcome.changed) == (4, {})
    assert (home / "env.json").read_text() == "{}"
    assert not (home.parent / "releases").exists()
    assert not list(home.glob("**/manifest.json"))
    file = home.parent / "plan.json"
    words = [*(f"-i{path}" for path in SOURCE.inventory), "-l", HOST]
    assert program(["plan", *words, "--out", str(file)]) == 0
    assert program(["up", *words, "--plan", str(file), "--yes", "-e", "ollama_debug=true"]) == 4
    assert (home / "env.json").read_text() == "{}"
    again = bring(given=plan_file.read(file))
    shown = {action.id: action for plan in again.planned.plans for action in plan.actions}
    assert "-{}" in shown["ollama/environment"].diff
    assert again.report.exit_code == 0, again.report


def test_what_was_done_meanwhile_is_not_done_again(home: Path) -> None:
    before = (home / "env.json").read_text()
    (home / "env.json").write_text('{"other": 1}')

    def write_back(_planned: Planned) -> None:
        (home / "env.json").write_text(before)

    outcome = bring(write_back)
    assert outcome.planned.to_apply == (HOST,)
    assert outcome.changed == {}
    assert outcome.report.exit_code == 0, outcome.report
