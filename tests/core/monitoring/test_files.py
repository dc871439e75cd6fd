"""What monitoring programs are given: golden files, and the verdict of the programs themselves.

`REAPER_OPS_UPDATE_GOLDEN=1` writes the golden files.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from watchers import checked

from reaper_ops.core.health.report import HostReport, Report, State, Tally
from reaper_ops.core.monitoring.alerts import ALERTS, HOST_ALERTS
from reaper_ops.core.monitoring.dashboard import dashboard
from reaper_ops.core.monitoring.desired_state import Monitoring, parse
from reaper_ops.core.monitoring.files import KINDS
from reaper_ops.errors import ReaperError
from reaper_ops.formats.health import as_prometheus

GOLDEN = Path(__file__).parents[2] / "golden" / "monitoring"
CASES = sorted((Path(__file__).parents[2] / "cases" / "alerts").glob("*.yml"))
ALL = Monitoring(textfile="10.0.0.9:9100", webhook="http://127.0.0.1:5001/alerts")
SHAPES = {"default": Monitoring(), "all": ALL, "textfile": parse({"textfile": "10.0.0.9:9100", "wait": "2m"})}
FACTS = {
    "latency_ms": {"/api/version": 1},
    "memory": {"total": 2, "free": 1},
    "swap": {"total": 2, "free": 1},
    "gpus": [{"name": "A", "total": 2, "used": 1}],
    "models": [{"name": "m", "size": 1}],
    "loaded": [{"name": "m", "size": 1, "size_vram": 1}],
    "oom_kills": 0,
}


def written(settings: Monitoring, root: Path) -> Path:
    for produce in KINDS.values():
        for name, text in produce(settings).items():
            (root / name).write_text(text)
    return root


def expressions() -> list[str]:
    targets = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [*(alert.expr for alert in ALERTS), *(expr.replace("$host", ".*") for expr in targets)]


@pytest.mark.parametrize("name", SHAPES)
def test_golden(name: str, tmp_path: Path) -> None:
    written(SHAPES[name], tmp_path)
    golden = GOLDEN / name
    if os.environ.get("REAPER_OPS_UPDATE_GOLDEN") == "1":
        golden.mkdir(parents=True, exist_ok=True)
        written(SHAPES[name], golden)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in golden.iterdir()
    }


@pytest.mark.parametrize("name", SHAPES)
def test_the_programs_accept_their_files(name: str, tmp_path: Path) -> None:
    written(SHAPES[name], tmp_path)
    assert "rule files found" in checked("promtool", "check", "config", tmp_path / "prometheus.yml")
    checked("promtool", "check", "rules", "--lint=all", "--lint-fatal", tmp_path / "reaper_ops.rules.yml")
    checked("amtool", "check-config", tmp_path / "alertmanager.yml")


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_before(case: Path, tmp_path: Path) -> None:
    written(Monitoring(), tmp_path)
    (tmp_path / "case.yml").write_text(case.read_text())
    assert "SUCCESS" in checked("promtool", "test", "rules", "case.yml", cwd=tmp_path)


def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"a:b{place}", "expr": expr} for place, expr in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}))
    assert f"{len(rules)} rules found" in checked("promtool", "check", "rules", tmp_path / "rules.yml")


def test_every_metric_that_is_asked_for_is_served() -> None:
    report = Report("probe", (HostReport("a", State.HEALTHY, version="0.35.1", facts=FACTS),), 1.0)
    text = as_prometheus.exposition(lambda: as_prometheus.families(report, Tally()))
    served = set(re.findall(r"^(reaper_ops_\w+)", text, re.M))
    asked = {name for expr in expressions() for name in re.findall(r"reaper_ops_\w+", expr)}
    assert asked <= served


def test_every_state_that_is_not_healthy_has_one_alert() -> None:
    named = [state for alert in HOST_ALERTS for state in re.findall(r'state=~"([^"]*)"', alert.expr)]
    states = [state for found in named for state in found.split("|")]
    assert sorted(states) == sorted(str(state) for state in State if state is not State.HEALTHY)


def test_every_alert_that_alertmanager_names_exists() -> None:
    config = yaml.safe_load(KINDS["alertmanager"](Monitoring())["alertmanager.yml"])
    names = {alert.name for alert in ALERTS}
    for rule in config["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, pattern = re.fullmatch(r'(\w+) [!=~]+ "(.*)"', matcher).groups()  # type: ignore[union-attr]
            if label == "alertname":
                assert any(re.fullmatch(pattern, name) for name in names), matcher


@pytest.mark.parametrize(
    ("severity", "host", "receiver"), [("critical", "a", "operators"), ("warning", "a", "operators")]
)
def test_routes(severity: str, host: str, receiver: str, tmp_path: Path) -> None:
    written(ALL, tmp_path)
    words = ("config", "routes", "test", f"--config.file={tmp_path}/alertmanager.yml")
    assert checked("amtool", *words, f"severity={severity}", f"host={host}").strip() == receiver


def test_the_dashboard_is_whole() -> None:
    found: dict[str, Any] = json.loads(KINDS["grafana"](Monitoring())["reaper_ops.json"])
    panels = found["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    cells = [
        (x, y)
        for panel in panels
        if (place := panel["gridPos"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


def test_a_duration_for_all_alerts() -> None:
    rules = yaml.safe_load(KINDS["prometheus"](parse({"wait": "7s", "every": "1s"}))["reaper_ops.rules.yml"])
    assert {rule["for"] for group in rules["groups"] for rule in group["rules"]} == {"7s"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"every": "soon"}, "--every: 'soon' is no duration; write it as 30s"),
        ({"every": "0s"}, "--every: cannot be zero"),
        ({"wait": "3"}, "--for: '3' is no duration"),
        ({"wait": ""}, "--for: '' is no duration"),
        ({"metrics": "host"}, "--metrics: 'host' is no ADDR:PORT"),
        ({"textfile": "a:1\nb:2"}, "--textfile: "),
        ({"webhook": "mailto:x"}, "--webhook: 'mailto:x' is no URL"),
    ],
)
def test_wrong_words(given: dict[str, str], problem: str) -> None:
    with pytest.raises(ReaperError, match=re.escape(problem)):
        parse(given)
