"""One JSON file per outcome: exchanges, settings, facts in; state, cause and evidence out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reaper_ops.core.doctor.rules.state import judge
from reaper_ops.core.facts.gpu_chain import Gpu, PciGpu
from reaper_ops.core.facts.model import (
    Container,
    Docker,
    Exchange,
    Facts,
    Process,
    System,
    Unit,
)
from reaper_ops.core.health import probe
from reaper_ops.core.health.report import Report, State
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.values import full_model_name

CASES = Path(__file__).parents[3] / "cases" / "probe"
FILES = sorted(CASES.glob("*.json"))
PYTHON_ERRORS = {
    "ConnectionRefusedError": ("connect", "refused", 111),
    "TimeoutError": ("read", "timeout", None),
    "RemoteDisconnected": ("read", "closed", None),
}


def recorded(name: str) -> dict[str, Any]:
    """An exchange as it was recorded, in the shape of ours."""
    case = json.loads((CASES.parent / "recorded" / f"{name}.json").read_text())
    response = case["response"]
    found = {"path": case["request"]["path"], "elapsed_ms": response["elapsed_ms"]}
    if "transport_error" in response:
        phase, error, number = PYTHON_ERRORS[response["transport_error"].split(":")[0]]
        return {**found, "phase": phase, "error": error, "errno": number, "detail": response["transport_error"]}
    body = response.get("body")
    if body is None:
        lines = [line if isinstance(line, str) else json.dumps(line) for line in response["lines"]]
        body = "\n".join(lines)
    return {**found, "phase": "done", "status": response["status"], "body": body}


def exchange(item: str | dict[str, Any]) -> Exchange:
    if isinstance(item, str):
        return Exchange(**recorded(item))
    base = recorded(item["recorded"]) if "recorded" in item else {}
    return Exchange(**{**base, **{k: v for k, v in item.items() if k != "recorded"}})


def text(value: Any) -> str | None:
    if isinstance(value, dict):
        lines = (CASES.parent / "recorded" / value["file"]).read_text().splitlines()
        return "\n".join(lines[: value.get("lines")])
    return value


def facts(raw: dict[str, Any]) -> Facts:
    vendor = {"nvidia": "10de", "amd": "1002"}.get(raw.get("gpu", ""))
    return Facts(
        host="gpu1",
        system=System(os_id="debian", arch=raw.get("arch", "")),
        gpu=Gpu(pci=(PciGpu("01:00.0", vendor, "2684"),)) if vendor else Gpu(),
        unit=Unit("ollama.service", raw["unit"]) if "unit" in raw else None,
        container=Container(**raw["container"]) if "container" in raw else None,
        docker=Docker(**raw["docker"]) if "docker" in raw else None,
        process=Process(**raw["process"]) if "process" in raw else None,
        releases=tuple(raw.get("releases", ())),
        journal=text(raw.get("journal")),
        kernel=text(raw.get("kernel")),
        cgroup_oom_kills=raw.get("cgroup_oom_kills"),
        unread=raw.get("unread", {}),
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outcome(path: Path) -> None:
    case, settings = json.loads(path.read_text()), {"ollama_version": "0.35.1"}
    settings.update(case.get("settings", {}))
    seen = probe.observe("gpu1", case["url"], [exchange(item) for item in case["exchanges"]])
    known = facts(case["facts"]) if "facts" in case else None
    report = judge(Settings(**settings), seen, known, case.get("expected_models", ()))
    expect = case["expect"]
    assert (report.state, report.cause) == (State(expect["state"]), expect["cause"])
    assert expect.get("evidence", "") in "\n".join(line.text for line in report.evidence)
    assert expect.get("next", "") in report.next_step
    assert expect.get("summary", "") in report.summary
    assert expect.get("note", "") in "\n".join(report.notes)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_sick_host_has_evidence_a_summary_and_a_next_step(path: Path) -> None:
    case = json.loads(path.read_text())
    seen = probe.observe("gpu1", case["url"], [exchange(item) for item in case["exchanges"]])
    report = judge(Settings(**case.get("settings", {})), seen, None, case.get("expected_models", ()))
    assert report.summary
    assert "\n" not in report.summary
    if report.state is not State.HEALTHY:
        assert report.evidence
        assert report.next_step


def test_every_state_has_a_case() -> None:
    assert {json.loads(path.read_text())["expect"]["state"] for path in FILES} == {str(state) for state in State}


def test_causes_are_slugs_of_the_catalogue() -> None:
    causes = {json.loads(path.read_text())["expect"]["cause"] for path in FILES} - {None}
    assert causes <= set((CASES / "slugs.txt").read_text().split())


def test_warnings_and_errors_have_their_exit_codes() -> None:
    seen = probe.observe("gpu1", "http://gpu1:11434", [])
    starting = judge(Settings(), probe.observe("a", "http://a:1", [Exchange("/api/version", "read", "timeout")]))
    healthy = judge(Settings(), probe.observe("b", "http://b:1", [exchange(n) for n in ("version-get", "tags-one")]))
    assert Report("probe", (starting, healthy)).exit_code == 4
    assert Report("probe", (healthy,)).exit_code == 0
    assert Report("probe", (judge(Settings(), seen), healthy)).exit_code == 3


def test_what_later_rules_add_is_a_note() -> None:
    done = [exchange(name) for name in ("version-get", "tags-one", "ps-loaded")]
    seen = probe.observe("gpu1", "http://gpu1:11434", done)
    report = judge(Settings(gpu_vendor="nvidia"), seen, None, ["llama3"])
    assert report.state is State.MODEL_MISSING
    assert any(note.startswith("cpu-fallback: ") for note in report.notes)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("llama3", "registry.ollama.ai/library/llama3:latest"),
        ("Team/Mistral:7B", "registry.ollama.ai/team/mistral:7b"),
        ("reg.example:5000/a/b", "reg.example:5000/a/b:latest"),
    ],
)
def test_canonical_names(name: str, full: str) -> None:
    assert full_model_name(name) == full


def test_the_source_of_the_inventory_is_in_the_command() -> None:
    seen = probe.observe("gpu1", "http://gpu1:11434", [exchange("server-gone-next")])
    assert judge(Settings(), seen, source="-i hosts.yml").next_step == "reaper-ops up -i hosts.yml -l gpu1"
