"""The whole way: a watch of the lab, scraped by a real Prometheus, whose alerts Alertmanager sends to a receiver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import Server, http_server
from subject import free_port, free_ports
from watchers import program

from reaper_ops.core.doctor.rules.catalogue import RULES

ROOT = Path(__file__).resolve().parents[2]
REAPER = [sys.executable, "-m", "reaper_ops"]
SICK = {("OllamaConnectionRefused", "lab-refused"), ("OllamaOutOfMemory", "lab-oom")}
PATIENCE_S = 240


@contextmanager
def running(argv: list[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Ended by Ctrl-C; what it said is in the log."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which the lab is up."""
    for name in ("prometheus", "prometheus-alertmanager"):
        program(name)
    root = tmp_path_factory.mktemp("lab")
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REAPER_OPS_LAB_DIR": str(root),
        "REAPER_OPS_LAB_PORT": str(free_ports(3)),
    }
    up = subprocess.run([*REAPER, "lab", "up"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield env
    finally:
        subprocess.run([*REAPER, "lab", "down"], cwd=ROOT, env=env, capture_output=True, check=True)


def render(kind: str, out: Path, *words: str) -> Path:
    subprocess.run([*REAPER, "render", kind, *words, "--out", str(out)], cwd=ROOT, capture_output=True, check=True)
    return out / kind


def firing(url: str) -> set[tuple[str, str]]:
    try:
        answer = json.load(urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=5))
    except OSError:
        return set()
    return of_hosts(alert for alert in answer["data"]["alerts"] if alert["state"] == "firing")


def of_hosts(alerts: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    """Without those of the watch itself, which a busy machine scrapes too late for a `--for` of a second."""
    labels = [alert["labels"] for alert in alerts]
    return {(one["alertname"], one["host"]) for one in labels if one["alertname"] != "ReaperOpsDown"}


def received(server: Server) -> list[dict[str, Any]]:
    return [json.loads(body) for method, _, body in server.seen if method == "POST"]


def told(server: Server) -> set[tuple[str, str]]:
    return of_hosts(alert for group in received(server) for alert in group["alerts"])


def test_alerts_of_the_lab_reach_their_receiver(lab: dict[str, str], tmp_path: Path) -> None:
    metrics, scraper, router = (f"127.0.0.1:{free_port()}" for _ in range(3))
    with ExitStack() as stack:
        receiver = stack.enter_context(http_server({"/alerts": {}}))
        rules = render(
            "prometheus",
            tmp_path,
            *("--metrics", metrics, "--alertmanager", router, "--every", "1s", "--for", "1s"),
        )
        routes = render("alertmanager", tmp_path, "--webhook", f"{receiver.url}/alerts")
        watch = [*REAPER, "watch", "-i", "inventories/lab", "--interval", "1", "--metrics", metrics]
        watching = stack.enter_context(running(watch, lab, tmp_path / "watch.log"))
        stack.enter_context(
            running(
                [
                    program("prometheus-alertmanager"),
                    f"--config.file={routes}/alertmanager.yml",
                    f"--storage.path={tmp_path}/alerts",
                    f"--web.listen-address={router}",
                    "--cluster.listen-address=",
                ],
                lab,
                tmp_path / "alertmanager.log",
            )
        )
        stack.enter_context(
            running(
                [
                    program("prometheus"),
                    f"--config.file={rules}/prometheus.yml",
                    f"--storage.tsdb.path={tmp_path}/series",
                    f"--web.listen-address={scraper}",
                ],
                lab,
                tmp_path / "prometheus.log",
            )
        )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not (firing(f"http://{scraper}") >= SICK and told(receiver) >= SICK):
            assert watching.poll() is None, (tmp_path / "watch.log").read_text()
            time.sleep(0.5)
        assert firing(f"http://{scraper}") == SICK, (tmp_path / "watch.log").read_text()
        groups = received(receiver)
    assert {group["groupLabels"].get("host") for group in groups} - {None} == {"lab-refused", "lab-oom"}
    assert told(receiver) == SICK
    alerts = [alert for group in groups for alert in group["alerts"]]
    memory = next(alert for alert in alerts if alert["labels"].get("host") == "lab-oom")
    assert memory["labels"]["cause"] in {rule.id for rule in RULES}
    assert memory["annotations"]["runbook"] == f"reaper-ops runbook {memory['labels']['cause']}"
    log = (tmp_path / "watch.log").read_text()
    assert "lab-oom" in log
    assert "out-of-memory" in log
    assert watching.returncode == 3
