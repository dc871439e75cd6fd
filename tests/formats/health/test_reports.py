from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reaper_ops import assets
from reaper_ops.core.health.report import Evidence, HostReport, Report, State, StateChange, changes
from reaper_ops.formats import FORMATS, visible
from reaper_ops.formats.health import as_json, as_text

WELL = HostReport(
    "gpu1",
    State.HEALTHY,
    "answers; 1 model loaded",
    version="0.35.1",
    url="http://10.0.0.1:11434",
    models=("llama3:8b",),
)
SICK = HostReport(
    "gpu2",
    State.OUT_OF_MEMORY,
    "the kernel killed the model's runner for lack of memory",
    (
        Evidence(
            "POST /api/generate",
            'HTTP 500 after 2555 ms: {"error":"llama-server process has terminated: signal: killed"}',
        ),
        Evidence(
            "kernel log",
            "Memory cgroup out of memory: Killed process 24856 (llama-server) total-vm:2224100kB, anon-rss:912820kB",
        ),
    ),
    "container-memory-limit-oom",
    "raise `ollama_memory_max`, or choose a smaller model, then reaper-ops up -i hosts.yml -l gpu2",
    version="0.35.1",
    url="http://10.0.0.2:11434",
    simulated=("the Ollama server and its models",),
)
LOST = HostReport(
    "gpu3", None, url="http://127.0.0.1:11434", problem="cannot be reached: no route", next_step="ansible gpu3 -m ping"
)
REPORT = Report("probe", (SICK, WELL, LOST))
TEXT = """\
gpu1  healthy             http://10.0.0.1:11434  Ollama 0.35.1  llama3:8b  answers; 1 model loaded
gpu3  unknown             http://127.0.0.1:11434
    problem: cannot be reached: no route
    next: ansible gpu3 -m ping
gpu2  out-of-memory       http://10.0.0.2:11434  Ollama 0.35.1
    the kernel killed the model's runner for lack of memory [container-memory-limit-oom]
    - POST /api/generate: HTTP 500 after 2555 ms: {"error":"llama-server process has terminated: signal:
      killed"}
    - kernel log: Memory cgroup out of memory: Killed process 24856 (llama-server) total-vm:2224100kB,
      anon-rss:912820kB
    next: raise `ollama_memory_max`, or choose a smaller model, then reaper-ops up -i hosts.yml -l gpu2

3 hosts: 1 healthy, 1 out-of-memory, 1 unknown -> error (exit 3)
simulated: the Ollama server and its models"""


def test_text_shows_sick_hosts_last_and_in_full() -> None:
    assert as_text.render(REPORT) == TEXT


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" not in as_text.render(REPORT)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b[31mout-of-memory" in visible.printable(as_text.render(REPORT))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in as_text.render(REPORT)


@pytest.mark.parametrize(
    "report", [REPORT, Report("up", ()), Report("probe", (replace(WELL, changed=("ollama/unit",)),))]
)
def test_json_fits_its_schema(report: Report) -> None:
    document = json.loads(FORMATS["json"](report))
    jsonschema.validate(document, assets.data("report.schema.json"))
    assert document["exit_code"] == report.exit_code


def test_the_schema_knows_every_state_and_field() -> None:
    host = assets.data("report.schema.json")["$defs"]["host"]
    assert set(host["properties"]["state"]["enum"]) == {*(str(state) for state in State), None}
    assert set(host["required"]) == set(as_json.document(Report("x", (WELL,)))["hosts"][0])  # type: ignore[index]


def test_only_changes_are_told() -> None:
    first = Report("probe", (WELL, SICK))
    assert changes(None, first) == (StateChange(None, WELL), StateChange(None, SICK))
    assert changes(first, Report("probe", (replace(WELL, facts={"latency_ms": {"/": 9}}), SICK))) == ()
    healed = replace(SICK, state=State.HEALTHY, cause=None)
    assert changes(first, Report("probe", (WELL, healed))) == (StateChange(SICK, healed),)
    assert "(was out-of-memory)" in as_text.change(StateChange(SICK, healed))
    assert json.loads(as_json.change(StateChange(SICK, healed)))["before"] == "out-of-memory"


@given(st.text(max_size=80))
def test_no_answer_of_a_server_reaches_the_terminal_raw(text: str) -> None:
    host = replace(
        SICK, summary=text, evidence=(Evidence("x", text),), next_step=text, url=text, version=text, problem=text
    )
    shown = as_text.render(Report("probe", (host,)))
    assert all(" " <= letter <= "~" or letter == "\n" for letter in shown)
