"""Reports for the tests of the web page: an ordinary one, and one that says a given text wherever a host can."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core.doctor.diagnosis import Cause, Diagnosis
from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.health.report import Evidence, HostReport, Report, State
from reaper_ops.formats.health import as_html

GIB = 1 << 30
EVIL = "<script src=//evil.invalid/x></script>\"'><img src=http://evil.invalid onerror=alert(1)>\u202e\x1b[2J\x00&amp;"
WELL = HostReport(
    "gpu1",
    State.HEALTHY,
    "answers",
    version="0.35.1",
    url="http://10.0.0.1:11434",
    facts={
        "memory": {"total": 64 * GIB, "free": 16 * GIB},
        "gpus": [{"name": "A", "total": 24 * GIB, "used": 12 * GIB}],
        "models": [{"name": "llama3:8b", "digest": "sha256:aaaaaaaaaaaaaaaa", "size": 5 * GIB}],
        "loaded": [],
    },
)
SICK = HostReport(
    "gpu2",
    State.OUT_OF_MEMORY,
    "the kernel killed the runner",
    (Evidence("kernel log", "Out of memory: Killed process 812 (llama-server)"),),
    "kernel-oom-kill",
    "choose a smaller model",
    version="0.35.1",
    facts={"models": [{"name": "llama3:8b", "digest": "sha256:bbbbbbbbbbbbbbbb", "size": 5 * GIB}]},
    simulated=("the Ollama server",),
)
LOST = HostReport("gpu3", None, problem="cannot be reached: no route", next_step="ansible gpu3 -m ping")
REPORT = Report("probe", (WELL, SICK, LOST), 1_700_000_000.0)
CAUSE = Cause(
    Finding(
        "the context of 262144 tokens does not fit",
        (Evidence("server log", "n_ctx = 262144"),),
        severity=Severity.ERROR,
        id="context-oversized",
    ),
    (Finding("the kernel killed llama-server", (), id="kernel-oom-kill"),),
    (Step("converge the host", "reaper-ops up -l gpu2", Automate.ASK, "apply"),),
    "reaper-ops probe -l gpu2",
)


def poisoned(text: str) -> str:
    facts = {"models": [{"name": text, "digest": text}], "gpus": [{"name": text, "total": 2, "used": 1}]}
    rows = Evidence(text, text), Evidence(text, text)
    host = HostReport(
        text, State.TIMEOUT, text, rows, text, text, text, text, text, notes=(text,), simulated=(text,), facts=facts
    )
    cause = Cause(Finding(text, rows, id=text), (Finding(text, (), id=text),), (Step(text, text),), text)
    found = Diagnosis("d" + text, State.TIMEOUT, text, causes=(cause,), questions=(text,))
    before = Report("probe", (replace(host, state=State.HEALTHY),), 1.0)
    return as_html.page(Report("probe", (host,), 2.0), (found,), (before,))
