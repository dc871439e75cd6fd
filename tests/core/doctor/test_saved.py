from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reaper_ops.core.doctor import saved
from reaper_ops.core.health.report import Evidence, HostReport, Report, State
from reaper_ops.errors import ReaperError
from reaper_ops.formats.health import as_json

HOST = HostReport(
    "a", State.OUT_OF_MEMORY, "killed", (Evidence("kernel log", "x"),), "kernel-oom-kill", facts={"oom_kills": 1}
)
FINDING = {"id": "kernel-oom-kill", "summary": "killed", "evidence": [], "confidence": "likely", "severity": "error"}
DIAGNOSIS = {
    "schema": "reaper-ops/diagnosis/1",
    "verb": "doctor",
    "hosts": [
        {
            "host": "a",
            "state": "out-of-memory",
            "summary": "s",
            "evidence": [],
            "severity": "error",
            "causes": [
                {
                    "finding": FINDING,
                    "also": [],
                    "steps": [{"text": "restart", "command": "x", "automate": "safe", "action": "restart"}],
                    "verify": "v",
                }
            ],
        }
    ],
}


def test_a_kept_report_is_read_again() -> None:
    report = Report("probe", (HOST, HostReport("b", None, problem="lost")), 1_700_000_000.0)
    assert saved.load("x", as_json.render(report), 5.0).report == report


def test_a_report_without_its_time_is_of_when_it_was_written() -> None:
    assert saved.load("x", as_json.render(Report("probe", (HOST,))), 5.0).report.time == 5.0


def test_a_kept_diagnosis_brings_causes_and_steps() -> None:
    found = saved.load("x", json.dumps(DIAGNOSIS), 5.0)
    assert found.diagnoses[0].causes[0].steps[0].text == "restart"
    assert (found.report.hosts[0].state, found.report.hosts[0].cause) == (State.OUT_OF_MEMORY, "kernel-oom-kill")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "x: is not JSON"),
        ("[" * 100_000, "x: is not JSON"),
        ("[]", "x: is no report of reaper_ops"),
        ('{"schema": "reaper-ops/report/99", "hosts": []}', "x: is no report of reaper_ops in a form"),
        ('{"schema": "reaper-ops/report/1", "hosts": 7}', "x: is no report of reaper_ops"),
        ('{"schema": "reaper-ops/report/1", "hosts": [{"host": "a", "state": "ill"}]}', "x: hosts/0/state"),
        ('{"schema": "reaper-ops/diagnosis/1", "hosts": [{}]}', "x: hosts/0/host"),
    ],
)
def test_what_is_no_report_is_one_clear_error(text: str, problem: str) -> None:
    with pytest.raises(ReaperError, match=problem):
        saved.load("x", text, 1.0)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_junk_never_raises_anything_else(junk: object) -> None:
    text = json.dumps({"schema": "reaper-ops/report/1", "hosts": [junk], "time": junk, "verb": junk})
    with pytest.raises(ReaperError, match="hosts/0"):
        saved.load("x", text, 1.0)
