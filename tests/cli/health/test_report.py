from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from servers import free_port, http_server

from reaper_ops.cli.program import run
from reaper_ops.core.doctor.diagnose import diagnose, examined
from reaper_ops.core.doctor.diagnosis import Cause, FleetDiagnosis
from reaper_ops.core.doctor.finding import Finding, Severity
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.facts.model import Facts, Memory, System
from reaper_ops.core.health.probe import ListedModel, Observation
from reaper_ops.core.health.report import State
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.formats.doctor import as_json as doctor_json


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REAPER_OPS_INVENTORY", raising=False)


def test_a_page_of_now_and_of_what_was_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, page = tmp_path / "kept.json", tmp_path / "pages" / "fleet.html"
    with http_server() as server:
        assert run(["probe", "--url", server.url, "-o", "json"]) == 0
        kept.write_text(capsys.readouterr().out)
        server.answers = {"/api/version": (500, '{"error":"broken"}')}
        assert run(["report", "--html", str(page), "--url", server.url, "--from", str(kept)]) == 3
    assert capsys.readouterr().out == f"{page}: 1 host, error\n"
    text = page.read_text()
    assert "healthy → " in text
    assert "http-error" in text


@pytest.mark.parametrize("everyday", ["", "no/such/inventory"])
def test_kept_reports_alone_ask_nobody(everyday: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inventory that the environment names for every day, neither."""
    if everyday:
        monkeypatch.setenv("REAPER_OPS_INVENTORY", everyday)
    files = []
    for number, state in enumerate(("timeout", "healthy"), 1):
        row = {"host": "a", "state": state}
        path = tmp_path / f"{number}.json"
        time = f"2026-01-0{number}T00:00:00+00:00"
        path.write_text(json.dumps({"schema": "reaper-ops/report/1", "time": time, "hosts": [row]}))
        files += ["--from", str(path)]
    page = tmp_path / "fleet.html"
    assert run(["report", "--html", str(page), *files[2:], *files[:2]]) == 0
    assert "2026-01-02 00:00 UTC" in page.read_text()
    assert "timeout → " in page.read_text()


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999+00:00"]
)
def test_a_time_that_utc_has_not_is_a_dash(time: str, tmp_path: Path) -> None:
    kept, page = tmp_path / "kept.json", tmp_path / "fleet.html"
    kept.write_text(json.dumps({"schema": "reaper-ops/report/1", "time": time, "hosts": []}))
    assert run(["report", "--html", str(page), "--from", str(kept)]) == 0
    assert "0 hosts · – UTC" in page.read_text()


def test_a_kept_diagnosis_shows_causes_memory_and_digests_on_one_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ListedModel("llama3:8b", digest="sha256:abcdef0123456789", size=5 << 30)
    seen = Observation("a", "http://a:11434", models=(model,))
    found = diagnose(examined(HostEvidence(Settings(), seen, Facts("a", System(), Memory(32 << 30, 8 << 30, 0, 0)))))
    cause = Cause(Finding("no swap", (), severity=Severity.WARNING, id="no-swap"), (), (), "")
    kept, page = tmp_path / "kept.json", tmp_path / "fleet.html"
    kept.write_text(doctor_json.render(FleetDiagnosis((replace(found, state=State.HEALTHY, causes=(cause,)),))))
    assert run(["report", "--html", str(page), "--from", str(kept)]) == 4
    assert capsys.readouterr().out == f"{page}: 1 host, warning\n"
    text = page.read_text()
    assert all(part in text for part in ("no-swap", "25.8 GB of 34.4 GB", "abcdef012345"))


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ([], "report: neither an inventory nor a URL", 2),
        (["--from", "nowhere.json"], "nowhere.json: cannot be read: No such file or directory", 2),
        (["--url", f"http://127.0.0.1:{free_port()}", "--html", "/proc/nowhere/x.html"], "cannot be written", 1),
    ],
)
def test_errors(words: list[str], said: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--html", str(tmp_path / "x.html"), *words]) == code
    assert said in capsys.readouterr().err


def test_a_url_goes_before_the_everyday_inventory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REAPER_OPS_INVENTORY", "no/such/inventory")
    with http_server() as server:
        assert run(["doctor", "--url", server.url]) == 0
    assert run(["doctor", "--url", server.url, "-i", "no/such/inventory"]) == 2
    assert "an inventory and a URL were given together" in capsys.readouterr().err
