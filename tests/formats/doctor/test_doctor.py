"""A diagnosis as text, JSON, JUnit and one line."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as XML

import jsonschema
import pytest

from reaper_ops import assets
from reaper_ops.core.doctor.diagnosis import Blind, Cause, Diagnosis, FleetDiagnosis
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.latency import Gain
from reaper_ops.core.facts.traces import Timing
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.formats.doctor import as_json as doctor_json
from reaper_ops.formats.doctor import as_junit as doctor_junit
from reaper_ops.formats.doctor import as_nagios as doctor_nagios
from reaper_ops.formats.doctor import as_text as doctor_text

KILLED = Finding(
    "the kernel killed llama-server for memory",
    (Evidence("kernel log", "Out of memory: Killed process 812 (llama-server)"),),
    severity=Severity.ERROR,
    id="kernel-oom-kill",
)
STOPPED = Finding(
    "the service is stopped", (Evidence("systemctl show", "ActiveState=failed"),), id="service-not-running"
)
SWAPLESS = Finding(
    "there is no swap", (Evidence("/proc/swaps", "empty"),), Confidence.LIKELY, severity=Severity.WARNING, id="no-swap"
)
SICK = Diagnosis(
    "gpu1",
    State.CONNECTION_REFUSED,
    "the service is stopped",
    causes=(
        Cause(
            KILLED,
            (STOPPED,),
            (Step("Start it.", "sudo systemctl start ollama", Automate.SAFE, "start"), Step("Buy memory.")),
            "reaper-ops doctor -i hosts.yml -l gpu1",
        ),
        Cause(SWAPLESS, (), (Step("Add swap.", "reaper-ops up", Automate.ASK, "apply"),), "swapon --show"),
    ),
    blind=(Blind("journal.log", "permission denied", ("bad-origins-panic",)),),
    url="http://gpu1:11434",
)
WELL = Diagnosis("cpu1", State.HEALTHY, "answers; 0 models loaded", url="http://cpu1:11434", version="0.35.1")
WARNED = replace(WELL, host="cpu2", causes=SICK.causes[1:])
LOST = Diagnosis("far1", None, problem="cannot be reached: timed out")
ODD = Diagnosis("odd1", State.HTTP_ERROR, "HTTP 500", (Evidence("GET /api/tags", "HTTP 500"),), explained=False)


def test_text_has_the_cause_the_proof_the_remedy_and_the_check() -> None:
    lines = doctor_text.render(FleetDiagnosis((SICK, WELL))).splitlines()
    assert lines[:14] == [
        "cpu1  healthy             http://cpu1:11434  Ollama 0.35.1  answers; 0 models loaded",
        "gpu1  connection-refused  http://gpu1:11434",
        "    cause: the kernel killed llama-server for memory [kernel-oom-kill]",
        "    - kernel log: Out of memory: Killed process 812 (llama-server)",
        "    -> the service is stopped [service-not-running]",
        "    1. Start it. (safe: `doctor --fix` does it)",
        "       $ sudo systemctl start ollama",
        "    2. Buy memory. (yours to do)",
        "    check: reaper-ops doctor -i hosts.yml -l gpu1",
        "    also: there is no swap (likely) [no-swap]",
        "    - /proc/swaps: empty",
        "    1. Add swap. (`doctor --fix` asks first)",
        "       $ reaper-ops up",
        "    check: swapon --show",
    ]
    assert "    not read: journal.log (permission denied); it could show bad-origins-panic" in lines
    assert lines[-1] == "2 hosts: 1 kernel-oom-kill -> error (exit 3)"


def test_a_state_that_nothing_explains_is_said_with_its_evidence() -> None:
    text = doctor_text.render(FleetDiagnosis((ODD,)))
    assert "HTTP 500; no rule explains it" in text
    assert "- GET /api/tags: HTTP 500" in text


def test_the_counts_leave_no_sick_host_out() -> None:
    aside = replace(SICK, host="gpu2", state=State.CONNECTION_REFUSED, explained=False)
    last = doctor_text.render(FleetDiagnosis((SICK, WELL, LOST, ODD, aside))).splitlines()[-1]
    counted = "1 kernel-oom-kill, 1 not examined, 1 http-error unexplained, 1 connection-refused unexplained"
    assert last == f"5 hosts: {counted} -> error (exit 3)"


def test_where_no_rule_speaks_what_was_not_read_is_said() -> None:
    pasted = Diagnosis("gpu1", None, "the API was not asked", explained=False, blind=SICK.blind)
    text = doctor_text.render(FleetDiagnosis((pasted,)))
    assert "no rule matches what was read" in text
    assert "not read: journal.log (permission denied); it could show bad-origins-panic" in text


@pytest.mark.parametrize(
    ("hosts", "status", "code", "nagios"),
    [
        ((WELL,), "healthy", 0, 0),
        ((WELL, WARNED), "warning", 4, 1),
        ((WELL, SICK, LOST), "error", 3, 2),
        ((WELL, LOST), "unknown", 5, 3),
        ((ODD,), "error", 3, 2),
        ((Diagnosis("s", State.STARTING, explained=False),), "warning", 4, 1),
    ],
)
def test_status_and_codes(hosts: tuple[Diagnosis, ...], status: str, code: int, nagios: int) -> None:
    checkup = FleetDiagnosis(hosts)
    assert (checkup.status, checkup.exit_code, doctor_nagios.nagios_code(checkup)) == (status, code, nagios)


def test_nagios_is_one_line_with_counts() -> None:
    assert doctor_nagios.render(FleetDiagnosis((WELL, SICK, LOST))) == (
        "OLLAMA CRITICAL - gpu1: the kernel killed llama-server for memory [kernel-oom-kill]; "
        "far1: cannot be reached: timed out | hosts=3 errors=1 warnings=0 unknown=1"
    )


def test_nagios_says_unknown_where_nothing_was_asked() -> None:
    pasted = Diagnosis("gpu1", None, "the API was not asked", explained=False)
    assert "gpu1: unknown: the API was not asked" in doctor_nagios.render(FleetDiagnosis((pasted,)))


def test_json_is_as_its_schema_says() -> None:
    document = json.loads(doctor_json.render(FleetDiagnosis((SICK, WELL, LOST, ODD))))
    jsonschema.validate(document, assets.data("diagnosis.schema.json"))
    assert document["hosts"][0]["causes"][0]["finding"]["id"] == "kernel-oom-kill"


def test_json_shows_what_was_measured() -> None:
    slow = ("gpu1", (Timing("tiny", cold=False, wall=0.5),), (Gain("cold-start-unload", "keep it loaded", 1.5, "how"),))
    document = json.loads(doctor_json.render(FleetDiagnosis((SICK,)), [slow]))
    jsonschema.validate(document, assets.data("diagnosis.schema.json"))
    assert document["slow"]["gpu1"]["timings"][0]["wall"] == 0.5
    assert document["slow"]["gpu1"]["gains"][0]["seconds"] == 1.5


def test_the_schema_names_every_field() -> None:
    schema = assets.data("diagnosis.schema.json")
    row = doctor_json.document(FleetDiagnosis((SICK,)))["hosts"][0]
    for name, value in (("host", row), ("cause", row["causes"][0]), ("finding", row["causes"][0]["finding"])):
        assert set(schema["$defs"][name]["properties"]) == set(value)
        assert schema["$defs"][name]["additionalProperties"] is False


def test_junit_counts_what_failed() -> None:
    root = XML.fromstring(doctor_junit.render(FleetDiagnosis((SICK, WELL, LOST, ODD))).encode())
    counts = {s.get("name"): tuple(s.get(n) for n in ("tests", "failures", "errors", "skipped")) for s in root}
    assert counts == {
        "gpu1": ("3", "1", "0", "1"),
        "cpu1": ("1", "0", "0", "0"),
        "far1": ("1", "0", "1", "0"),
        "odd1": ("1", "1", "0", "0"),
    }
    failure = root.find(".//testcase[@name='kernel-oom-kill']/failure")
    assert failure is not None
    assert "1. Start it. sudo systemctl start ollama" in (failure.text or "")
