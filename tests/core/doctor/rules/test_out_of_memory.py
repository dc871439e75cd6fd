"""What the server's log tells of a load, and how sure a kill is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.rules import memory, serverlog
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.out_of_memory import loads
from reaper_ops.core.doctor.rules.out_of_memory import memory_headroom as headroom
from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.health import probe
from reaper_ops.core.inventory.settings import Settings

RECORDED = Path(__file__).parents[3] / "cases" / "recorded"
SAMPLES = [signature.sample for signature in signatures.TABLE if "log" in signature.where]


def case(log: str) -> HostEvidence:
    facts = Facts("gpu1", System(), journal=log)
    return HostEvidence(Settings(), probe.observe("gpu1", "http://gpu1:11434", []), facts)


def test_the_failed_load_of_the_recorded_log() -> None:
    found = loads.failing(case((RECORDED / "ctx-too-large-cgroup-server.log").read_text()))
    assert found is not None
    assert (found.context, found.weights >> 20, found.kv >> 20, found.compute >> 20) == (131072, 1688, 3584, 784)
    assert found.blob.startswith("sha256-b0cdd74f7ce2")
    assert found.line.endswith('msg="starting llama-server" ... -c 131072')
    assert found.at(8192) >> 20 == 1688 + 784 + 224


def test_no_load_failed_where_all_went_well() -> None:
    assert loads.failing(case((RECORDED / "start-normal-debug.log").read_text())) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("39.4 GiB", int(39.4 * (1 << 30))), ("512 MiB", 512 << 20), ("7 B", 7), ("much", None)],
)
def test_sizes_as_ollama_writes_them(text: str, size: int | None) -> None:
    assert headroom.parsed(text) == size


def test_a_gpu_row_of_the_breakdown_is_read() -> None:
    line = (
        "common_memory_breakdown_print: |   - CUDA0 (RTX 4090)   | 24080 = 23500 + (6056 =  1688 +    3584 +     784) +"
    )
    hit = signatures.match("log", line)
    assert hit is not None
    assert (hit.groups["weights"], hit.groups["context"], hit.groups["compute"]) == ("1688", "3584", "784")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.sampled_from(SAMPLES)), max_size=12))
def test_any_log_has_a_failed_load_or_none(lines: list[str]) -> None:
    found = loads.failing(case("\n".join(lines)))
    assert found is None or (found.at(found.context) >= found.weights and json.dumps(found.line))


BIG, SMALL = "sha256-b0cdd74f7ce2", "sha256-cbbee5fa4358"
STARTS = 'msg="starting llama-server" cmd="llama-server --model /m/blobs/{} --port 1 --host 127.0.0.1 -c 4096 -np 1"'
FAILS = 'msg="Load failed" model=/m/blobs/{} error="llama-server process has terminated: signal: killed"'
LOADED = 'msg="llama-server started in 0.25 seconds"'
COUNTED = 'level=INFO source=sched.go:728 msg="loaded runners" count=1'
"""After a load of llama-server (0.32.14, recorded); before the end of a load of the engines before it."""
BEFORE = 'msg="starting runner" cmd="ollama runner --ollama-engine --model /m/blobs/{} --port 1"'


@pytest.mark.parametrize(
    ("lines", "blobs", "failed"),
    [
        ((STARTS.format(BIG), FAILS.format(BIG)), None, True),
        ((STARTS.format(BIG), FAILS.format(BIG), STARTS.format(SMALL), LOADED, LOADED), None, True),
        ((STARTS.format(BIG), FAILS.format(BIG), STARTS.format(SMALL), LOADED), frozenset({BIG, SMALL}), True),
        ((STARTS.format(BIG), FAILS.format(BIG), STARTS.format(SMALL), LOADED), frozenset({SMALL}), False),
        ((STARTS.format(BIG), FAILS.format(BIG), STARTS.format(BIG), LOADED, STARTS.format(SMALL)), None, False),
        ((FAILS.format("x"), STARTS.format(SMALL), LOADED), None, False),
        ((STARTS.format(BIG), FAILS.format(BIG), STARTS.format(BIG), COUNTED), None, False),
        ((STARTS.format(BIG), FAILS.format(BIG), STARTS.format(SMALL), COUNTED), None, True),
        ((STARTS.format(BIG), COUNTED, FAILS.format(BIG)), None, True),
        ((BEFORE.format(BIG), FAILS.format(BIG), BEFORE.format(BIG), COUNTED), None, True),
        ((STARTS.format(SMALL), LOADED, 'no longer running" sys=9 string="signal: killed"', LOADED), None, False),
    ],
)
def test_only_a_load_of_the_same_model_makes_a_failed_one_good(
    lines: tuple[str, ...], blobs: frozenset[str] | None, failed: bool
) -> None:
    found = serverlog.read("\n".join(lines)).with_store(blobs)
    assert (found.failed_load is not None) is failed


@pytest.mark.parametrize(
    ("size", "advice"),
    [("8G", "raise `ollama_memory_max`, or"), (None, "raise the memory limit, which the inventory does not set, or")],
)
def test_only_a_limit_of_the_inventory_is_raised_there(size: str | None, advice: str) -> None:
    limited = Settings.model_validate({"ollama_memory_max": size})
    host = HostEvidence(limited, probe.observe("gpu1", "http://gpu1:11434", []))
    assert memory.verdict(host, "systemd-memorymax-oom", "killed", ()).next_step.startswith(advice)
