"""Metrics: what a scraper reads from them, and that their labels stay bounded."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from reaper_ops.core.doctor.rules.catalogue import RULES
from reaper_ops.core.health.report import HostReport, Report, State, Tally
from reaper_ops.formats import FORMATS
from reaper_ops.formats.health import as_prometheus
from reaper_ops.formats.visible import one_line

GIB = 1 << 30
WELL = HostReport(
    "gpu1",
    State.HEALTHY,
    version="0.35.1",
    facts={
        "latency_ms": {"/api/version": 12.5},
        "memory": {"total": 64 * GIB, "free": 40 * GIB},
        "swap": {"total": 8 * GIB, "free": 8 * GIB},
        "gpus": [{"name": "A", "total": 24 * GIB, "used": 6 * GIB}, {"name": "B", "total": 24 * GIB, "used": None}],
        "models": [{"name": "llama3:8b", "digest": "ab", "size": 5 * GIB}, {"name": "cloud"}],
        "loaded": [{"name": "llama3:8b", "size": 6 * GIB, "size_vram": 4 * GIB}],
        "oom_kills": 2,
    },
)
SICK = HostReport(
    "gpu2", State.CONNECTION_REFUSED, cause="service-not-running", facts={"latency_ms": {"/api/version": 1}}
)
LOST = HostReport("gpu3", None, problem="cannot be reached")
REPORT = Report("probe", (WELL, SICK, LOST), 1_700_000_000.0)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Value by name and label values, labels in the order of their names."""
    families = text_string_to_metric_families(text)
    rows = [sample for family in families for sample in family.samples]
    return {(s.name, *(value for _, value in sorted(s.labels.items()))): s.value for s in rows}


def test_each_host_is_in_one_state_of_the_closed_set() -> None:
    found = samples(FORMATS["prometheus"](REPORT) + "\n")
    for host, state in (("gpu1", "healthy"), ("gpu2", "connection-refused"), ("gpu3", "unknown")):
        row = {key[2]: value for key, value in found.items() if key[:2] == ("reaper_ops_host_state", host)}
        assert set(row) == {*map(str, State), "unknown"}
        assert [name for name, value in row.items() if value == 1] == [state]
        assert sum(row.values()) == 1


def test_numbers_are_in_base_units() -> None:
    found = samples(as_prometheus.render(REPORT))
    assert {key[0]: value for key, value in found.items() if key[1:] == ("gpu1",)} == {
        "reaper_ops_host_response_seconds": 0.0125,
        "reaper_ops_host_models": 2,
        "reaper_ops_host_models_bytes": 5 * GIB,
        "reaper_ops_host_models_loaded": 1,
        "reaper_ops_host_loaded_bytes": 6 * GIB,
        "reaper_ops_host_loaded_vram_bytes": 4 * GIB,
        "reaper_ops_host_memory_size_bytes": 64 * GIB,
        "reaper_ops_host_memory_available_bytes": 40 * GIB,
        "reaper_ops_host_swap_size_bytes": 8 * GIB,
        "reaper_ops_host_swap_free_bytes": 8 * GIB,
        "reaper_ops_host_oom_kills_total": 2,
    }
    assert found["reaper_ops_host_gpu_memory_size_bytes", "1", "gpu1"] == 24 * GIB
    assert found["reaper_ops_host_gpu_memory_used_bytes", "0", "gpu1"] == 6 * GIB
    assert ("reaper_ops_host_gpu_memory_used_bytes", "1", "gpu1") not in found
    assert found["reaper_ops_probe_timestamp_seconds",] == 1_700_000_000


def test_nothing_is_measured_of_a_host_that_did_not_answer() -> None:
    found = samples(as_prometheus.render(REPORT))
    assert {key[0] for key in found if "gpu2" in key} == {
        "reaper_ops_host_state",
        "reaper_ops_host_cause",
        "reaper_ops_host_info",
    }


def test_no_model_is_no_byte_and_no_gap() -> None:
    empty = replace(WELL, facts={"models": [], "loaded": []})
    unknown = replace(WELL, host="gpu2", facts={"models": [{"name": "cloud"}]})
    found = samples(as_prometheus.render(Report("probe", (empty, unknown), 1.0)))
    sizes = {key: value for key, value in found.items() if key[0].endswith("_bytes")}
    names = ("host_models_bytes", "host_loaded_bytes", "host_loaded_vram_bytes")
    assert sizes == {(f"reaper_ops_{name}", "gpu1"): 0 for name in names}


def test_a_cause_is_an_id_of_the_catalogue_or_empty() -> None:
    known = RULES[0].id
    rows = (replace(SICK, cause=known), replace(SICK, host="x", cause="what a server said"), LOST)
    found = samples(as_prometheus.render(Report("probe", rows, 1.0)))
    assert {key[1:] for key in found if key[0] == "reaper_ops_host_cause"} == {
        (known, "gpu2"),
        ("", "x"),
        ("", "gpu3"),
    }


@pytest.mark.parametrize(("said", "shown"), [("0.35.1-rc1", "0.35.1-rc1"), ("\nevil 1", ""), ("1.2.3" + "x" * 99, "")])
def test_a_version_is_a_label_only_when_it_is_one(said: str, shown: str) -> None:
    found = samples(as_prometheus.render(Report("probe", (replace(WELL, version=said),), 1.0)))
    assert ("reaper_ops_host_info", "gpu1", "no", shown) in found


def test_what_a_watch_counts() -> None:
    tally = Tally(rounds=7, failures=1, seconds=0.5, changes={"gpu2": 3})
    found = samples(as_prometheus.exposition(lambda: as_prometheus.families(REPORT, tally)))
    assert found["reaper_ops_probes_total",] == 7
    assert found["reaper_ops_probe_failures_total",] == 1
    assert found["reaper_ops_probe_duration_seconds",] == 0.5
    assert found["reaper_ops_host_state_changes_total", "gpu1"] == 0
    assert found["reaper_ops_host_state_changes_total", "gpu2"] == 3


@given(st.text(max_size=30))
def test_no_text_of_a_host_breaks_the_format(text: str) -> None:
    row = replace(SICK, host=text, cause=text, version=text, facts={"gpus": text, "models": [text]})
    page = as_prometheus.render(Report("probe", (row,), 1.0))
    found = samples(page)
    assert found["reaper_ops_host_state", one_line(text), "connection-refused"] == 1
    assert page.replace("\n", "").isprintable()


def test_promtool_has_no_complaint() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus; `make prepare`)")
    text = as_prometheus.exposition(lambda: as_prometheus.families(REPORT, Tally(rounds=1)))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
