"""Every form of a diagnosis as a whole, of hosts as the cases have them; `tests/golden/doctor/` is what a user reads.

`REAPER_OPS_UPDATE_GOLDEN=1` writes it; what it writes is read before it is committed.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from doctor_cases import CASES, evidence, examine, load

from reaper_ops.core.doctor import fix, latency
from reaper_ops.core.doctor.diagnosis import Diagnosis, FleetDiagnosis
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.provision.plan import Action
from reaper_ops.formats.doctor import as_json, as_junit, as_nagios, as_text, fix_text, latency_text

GOLDEN = CASES.parent / "golden" / "doctor"
HOSTS = {
    "blob1": "corrupt-manifest/sick-blob-truncated",
    "ctr1": "container-memory-limit-oom/sick-recorded",
    "ok1": "bases/systemd-cpu",
    "perm1": "models-dir-permission/sick-parent",
    "slow1": "cold-start-unload/sick-measured",
    "stop1": "service-not-running/sick-stopped",
    "swap1": "no-swap/sick-wished",
}
FILES = {host: load(CASES / "doctor" / f"{name}.json") for host, name in HOSTS.items()}
LOST = Diagnosis("lost1", None, problem="cannot be reached: timed out", url="http://lost1:11434")
ODD = Diagnosis("odd1", State.HTTP_ERROR, "HTTP 500", (Evidence("GET /api/tags", "HTTP 500 <html>"),), explained=False)
FLEET = FleetDiagnosis((*(examine(case, host) for host, case in FILES.items()), LOST, ODD))
KNOWN = {host: evidence(case, host) for host, case in FILES.items()}
SLOW = (("slow1", KNOWN["slow1"].traces.timings or (), latency.gains(KNOWN["slow1"])),)
UNIT = Action("ollama/unit", "/etc/systemd/system/ollama.service", "differs in MemoryMax")


def proposals() -> tuple[fix.Proposal, ...]:
    """As the verb offers them: what `apply` would do stands with it."""
    facts = {host: case.facts for host, case in KNOWN.items()}
    ours = {host: fix.directories(case.settings, case.facts) for host, case in KNOWN.items()}
    found = fix.proposals(FLEET, facts, ours)
    return tuple(replace(one, plan=(UNIT,)) if one.action == "apply" else one for one in found)


def outcomes() -> tuple[fix.FixOutcome, ...]:
    """Each way in which one can end, in turns."""
    ways = (
        {"done": True, "helped": True},
        {"done": True},
        {"done": True, "undone": True},
        {"done": False, "problem": "the disk is full"},
    )
    return tuple(fix.FixOutcome(one, **ways[at % len(ways)]) for at, one in enumerate(proposals()))


FORMS = {
    "fleet.txt": lambda: as_text.render(FLEET),
    "fleet-verbose.txt": lambda: as_text.render(FLEET, verbose=True),
    "fleet.json": lambda: as_json.render(FLEET),
    "fleet.xml": lambda: as_junit.render(FLEET),
    "fleet.nagios": lambda: as_nagios.render(FLEET),
    "fix-offer.txt": lambda: fix_text.offer(proposals()),
    "fix-nothing.txt": lambda: fix_text.offer(()),
    "fix-result.txt": lambda: fix_text.result(outcomes()),
    "fix.json": lambda: json.dumps(fix_text.document(FLEET, FleetDiagnosis(FLEET.hosts[2:3]), outcomes()), indent=1),
    "slow.txt": lambda: "\n".join(latency_text.text(*row) for row in SLOW),
    "slow.json": lambda: as_json.render(FleetDiagnosis(()), SLOW),
}


@pytest.mark.parametrize("name", FORMS)
def test_form_is_as_the_golden_file(name: str) -> None:
    shown, golden = FORMS[name]().rstrip("\n") + "\n", GOLDEN / name
    if os.environ.get("REAPER_OPS_UPDATE_GOLDEN") == "1":
        golden.write_text(shown)
    else:
        assert shown == golden.read_text()


def test_every_golden_file_is_of_a_form() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(FORMS)
