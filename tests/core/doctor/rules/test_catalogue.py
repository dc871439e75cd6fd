"""The rules of the doctor: one folder per id with sick and healthy hosts as JSON, and what all rules must have.

A case is a JSON merge patch (RFC 7396) on a base of `cases/doctor/bases`: `settings`, `exchanges` (what the API
answered), `facts`. A text is given as it is, or as {"recorded": "file of cases/recorded"}. A file named `sick…` must
name its folder's id first; `sick-also…` must name it at all; `healthy…` and `look-alike…` must not, and a
`look-alike…` says under `first` what it is instead.

`expect` is the whole diagnosis as a user gets it, compared word by word. `REAPER_OPS_UPDATE_GOLDEN=1` writes it; what
it writes is read case by case before it is committed, and what is wrong is corrected in the rule.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from doctor_cases import BASES, FILES, examine, load

from reaper_ops.core.doctor import runbook
from reaper_ops.core.doctor.diagnose import BY_ID, Diagnosis
from reaper_ops.core.doctor.evidence import PARTS
from reaper_ops.core.doctor.finding import Automate, Finding
from reaper_ops.core.doctor.remedy import ACTIONS
from reaper_ops.core.doctor.rules.catalogue import RULES
from reaper_ops.core.health.report import State


def expectation(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything of a diagnosis that a user reads, in the shape of a case's `expect`."""
    return {
        "state": diagnosis.state or "unknown",
        "causes": [
            {
                **as_expected(cause.finding),
                "also": [as_expected(consequence) for consequence in cause.also],
                "steps": [
                    {"text": step.text, "command": step.command, "automate": step.automate, "action": step.action}
                    for step in cause.steps
                ],
                "verify": cause.verify,
            }
            for cause in diagnosis.causes
        ],
        "questions": list(diagnosis.questions),
    }


def as_expected(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "summary": finding.summary,
        "evidence": [[item.source, item.text] for item in finding.evidence],
        "values": dict(finding.values),
    }


def write_expectation(path: Path, expect: dict[str, Any]) -> None:
    """Puts `expect` at the end of the case, in the form that the file has."""
    text = path.read_text()
    case = json.loads(text)
    forms = [{"indent": indent, "ensure_ascii": plain} for indent in (1, 2) for plain in (False, True)]
    form = next(form for form in forms if json.dumps(case, **form) + "\n" == text)
    case.pop("expect", None)
    path.write_text(json.dumps({**case, "expect": expect}, **form) + "\n")


def ids(found: Diagnosis) -> list[str]:
    return [f.id for cause in found.causes for f in (cause.finding, *cause.also)]


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_a_healthy_host_of_any_shape_yields_no_findings(path: Path) -> None:
    found = examine(load(path))
    assert (found.state, ids(found)) == (State.HEALTHY, [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path) -> None:
    case, found = load(path), examine(load(path))
    named, first = ids(found), found.causes[0].finding.id if found.causes else None
    wanted = path.parent.name
    if path.stem.startswith("sick-also"):
        assert wanted in named
    elif path.stem.startswith("sick"):
        assert first == wanted, named
    else:
        assert path.stem.startswith(("healthy", "look-alike"))
        assert wanted not in named
    if path.stem.startswith("look-alike"):
        assert first == case["first"]
    assert set(case.get("also", ())) <= set(named)
    for cause in found.causes:
        assert cause.finding.summary
        assert cause.finding.evidence, f"{cause.finding.id} shows no evidence"
    if os.environ.get("REAPER_OPS_UPDATE_GOLDEN") == "1":
        write_expectation(path, expectation(found))
    else:
        assert expectation(found) == case.get("expect")


LOOK_ALIKES = {
    rule.id: set(re.findall(r"[a-z0-9-]+", " ".join(runbook.parse(rule.text).look_alikes))) for rule in RULES
}
BOTH = {("cpu-quota-or-no-avx", "cpu-illegal-instruction")}
"""A processor without AVX is slow and makes some builds crash."""
SICK_FIRST = [path for path in FILES if path.stem.startswith("sick") and not path.stem.startswith("sick-also")]


@pytest.mark.parametrize("path", SICK_FIRST, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_rule_is_not_blamed_too_for_what_it_tells_itself_apart_from(path: Path) -> None:
    sick = path.parent.name
    blamed = {cause.finding.id for cause in examine(load(path)).causes} - {sick}
    assert not {id_ for id_ in blamed if sick in LOOK_ALIKES[id_] and (id_, sick) not in BOTH}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_has_cases_a_page_and_a_remedy(rule: Any) -> None:
    page = runbook.parse(rule.text)
    stems = [path.stem for path in FILES if path.parent.name == rule.id]
    assert page.title.endswith(".")
    assert page.cause
    assert page.signals
    assert page.sources
    assert rule.steps
    if not (rule.question and not stems):
        assert any(stem.startswith("sick") for stem in stems), "no case with a sick host"
        assert any(stem.startswith(("healthy", "look-alike")) for stem in stems), "no case with a healthy one"
    assert set(rule.explains) <= {*BY_ID, *map(str, State)}
    assert set(rule.needs) <= set(PARTS)
    for step in rule.steps:
        assert step.action in {"", *ACTIONS}
        assert step.action or step.automate is Automate.NEVER, "who would do it?"


def test_no_folder_without_a_rule() -> None:
    assert {path.parent.name for path in FILES} <= set(BY_ID)


def test_nothing_explains_itself() -> None:
    graph = {rule.id: [other for other in rule.explains if other in BY_ID] for rule in RULES}

    def walk(id_: str, way: tuple[str, ...]) -> None:
        assert id_ not in way, f"a circle: {' -> '.join((*way, id_))}"
        for other in graph[id_]:
            walk(other, (*way, id_))

    for id_ in graph:
        walk(id_, ())


def test_the_cause_that_the_probe_names_explains_its_state() -> None:
    path = next(p for p in FILES if p.stem == "sick-after-starts-that-failed")
    found = examine(load(path))
    assert (found.state, found.causes[0].finding.id, found.explained) == (
        "degraded",
        "exposed-unauthenticated",
        True,
    )
