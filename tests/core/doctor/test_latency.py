from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reaper_ops.core.doctor import latency as slow
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.facts.gpu_chain import Gpu, PciGpu
from reaper_ops.core.facts.model import Facts, Memory, System
from reaper_ops.core.facts.traces import Cgroup, GpuLoad, Pressure, Running, Timing, Traces
from reaper_ops.core.health.probe import ListedModel, Observation, RunningModel
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.formats.doctor import latency_text as slow_text

GIB = 1 << 30
SLUGS = set((Path(__file__).parents[2] / "cases" / "probe" / "slugs.txt").read_text().split())
WARM = Timing("m:latest", False, 3.3, 3.25, 0.01, 0.04, 20, 3.2, 32)
COLD = Timing("m:latest", True, 45.0, 44.0, 40.5, 0.3, 20, 3.2, 32)
PAIR = (
    Timing("m:latest", False, 3.4, 3.3, 0.01, 0.04, 20, 3.2, 32, parallel=2),
    Timing("m:latest", False, 6.6, 6.5, 0.01, 0.04, 20, 3.2, 32, parallel=2),
)


def case(
    *timings: Timing, vram: int = 0, models: dict[str, int] | None = None, log: str = "", **more: Any
) -> HostEvidence:
    listed = tuple(ListedModel(name, size=size) for name, size in (models or {"m:latest": 8 * GIB}).items())
    traces = Traces(timings=timings or None, pressure=more.pop("pressure", Pressure(0, 0)), **more.pop("traces", {}))
    memory = Memory(32 * GIB, 20 * GIB, 0, 0)
    facts = Facts("a", System(arch="x86_64", cpus=8), memory, journal=log or None, traces=traces, **more)
    seen = Observation(
        "a", "http://a:11434", models=listed, loaded=(RunningModel("m:latest", size=10 * GIB, size_vram=vram),)
    )
    return HostEvidence(Settings(), seen, facts)


def by_remedy(found: HostEvidence) -> dict[str, slow.Gain]:
    return {gain.remedy.partition(":")[0].partition(", such")[0]: gain for gain in slow.gains(found)}


def test_the_largest_gain_comes_first_and_nothing_to_gain_last() -> None:
    found = slow.gains(case(COLD, WARM, *PAIR))
    assert [gain.remedy for gain in found] == [
        "keep the model loaded",
        "answer more requests at once",
        "use a host with a GPU",
        "use a smaller model or quantization",
        "give it more cores",
        "close other applications",
    ]
    assert found[0].seconds == pytest.approx(40.49)
    assert found[0].measured
    assert [gain.seconds for gain in found[-2:]] == [0.0, 0.0]


def test_ten_tokens_a_second_on_the_cpu() -> None:
    gain = by_remedy(case(WARM))["use a host with a GPU"]
    assert gain.rate == pytest.approx(30.0)
    assert gain.seconds == pytest.approx(25.6 - 256 / 30)
    assert not gain.measured
    assert "the guide's table" in gain.how


def test_a_card_that_is_there_and_unused_is_named() -> None:
    card = Gpu(pci=(PciGpu("01:00.0", "10de", "2684"),))
    assert by_remedy(case(WARM, gpu=card))["use the GPU that is there"].id == "gpu-not-used"


def test_part_of_the_model_on_the_cpu() -> None:
    gain = by_remedy(case(WARM, vram=6 * GIB))["get all of the model into GPU memory"]
    assert gain.id == "partial-cpu-offload"
    assert gain.rate == pytest.approx(18.0)


def test_in_gpu_memory_neither_gpu_nor_cores_gain() -> None:
    found = by_remedy(case(WARM, vram=10 * GIB))
    assert (found["use the GPU"].seconds, found["give it more cores"].seconds) == (0.0, 0.0)


def test_a_model_that_was_loaded_for_this_tells_where_it_computes() -> None:
    found = case(replace(WARM, model="n:latest", on_gpu=0.5), models={"n:latest": 8 * GIB, "s:latest": 4 * GIB})
    assert by_remedy(found)["get all of the model into GPU memory"].rate == pytest.approx(20.0)
    assert "s:latest" in by_remedy(found)["use a smaller model"].remedy


def test_a_smaller_model_of_the_host_is_named_with_its_own_factor() -> None:
    found = case(WARM, models={"m:latest": 8 * GIB, "s:latest": 2 * GIB, "t:latest": GIB, "n:latest": 7 * GIB})
    gain = by_remedy(found)["use a smaller model"]
    assert "s:latest" in gain.remedy
    assert gain.rate == pytest.approx(40.0)


def test_a_quota_of_cores() -> None:
    gain = by_remedy(case(WARM, traces={"cgroup": Cgroup(cpus=2.0)}))["let it use all 8 cores"]
    assert gain.rate == pytest.approx(40.0)


def test_waiting_for_memory_names_who_holds_it() -> None:
    big = Running(7, "/usr/lib/firefox/firefox -contentproc", rss=9 * GIB)
    found = case(WARM, pressure=Pressure(60, 25), traces={"processes": (big,), "swap_rate": 900.0})
    gain = by_remedy(found)["close other applications"]
    assert gain.seconds == pytest.approx(6.4)
    assert "firefox (9.7 GB)" in gain.remedy
    assert "25 %" in gain.how


def test_two_at_once() -> None:
    gain = by_remedy(case(WARM, *PAIR))["answer more requests at once"]
    assert gain.seconds == pytest.approx(3.25 * 8)


def test_a_lone_request_that_waited() -> None:
    waited = Timing("m:latest", False, 9.0, 8.9, 0.01, 0.04, 20, 3.2, 32)
    assert by_remedy(case(waited))["send less, or share it among hosts"].seconds == pytest.approx(5.65)


def test_the_log_tells_of_loads_where_none_was_measured() -> None:
    start = 'time=2026-11-23T01:0{0}:00.000Z msg="starting llama-server" cmd="x --model /b/sha256-{1} -c {2} -np 1"'
    done = 'time=2026-11-23T01:0{0}:09.000Z msg="llama-server started in 8.00 seconds"'
    served = '[GIN] 2026/11/23 - 01:0{0}:12 | 200 | 12.2s | 10.0.0.1 | POST "/api/chat"'
    contexts = [line.format(n, "aa", 4096 * (1 + n % 2)) for n in range(4) for line in (start, done, served)]
    found = by_remedy(case(WARM, log="\n".join(contexts)))
    assert found["keep the model loaded"].seconds == pytest.approx(8.0)
    assert found["one context for all clients"].seconds == pytest.approx(6.0)
    models = [line.format(n, "ab"[n % 2] * 2, 4096) for n in range(4) for line in (start, done, served)]
    assert by_remedy(case(WARM, log="\n".join(models)))["room for both models, or a host for each"].seconds == 4.0


def test_heat_is_named_without_a_number() -> None:
    hot = GpuLoad("GPU-1", temperature=93, throttle=("hw_thermal_slowdown",))
    assert by_remedy(case(WARM, vram=10 * GIB, traces={"gpu_load": (hot,)}))["cool the GPU"].seconds is None


def test_without_timings_no_tokens_are_made_up() -> None:
    found = slow.gains(case())
    assert all(gain.rate is None for gain in found)
    assert all(gain.how for gain in found)


def test_every_gain_names_a_rule() -> None:
    hot = GpuLoad("GPU-1", throttle=("hw_thermal_slowdown",))
    found = slow.gains(case(COLD, WARM, *PAIR, traces={"gpu_load": (hot,)}))
    assert {gain.id for gain in found} - {""} <= SLUGS


def test_text() -> None:
    timings = (COLD, WARM, *PAIR)
    said = slow_text.text("gpu1", timings, slow.gains(case(*timings)))
    assert said.splitlines()[0] == "gpu1: m:latest, 10.0 tokens/s, first token after 50 ms"
    assert "4 answers, where their time went: load 40.5 s (70 %)" in said
    assert "1. keep the model loaded: 40.5 s less of the first answer after a pause (measured: load_duration" in said
    assert said.splitlines()[-1].startswith("  nothing to gain: give it more cores (all 8 cores are used already)")


def test_text_of_a_host_that_rests() -> None:
    said = slow_text.text("gpu1", (), slow.gains(case()))
    assert said.splitlines()[0] == "gpu1: nothing was measured; no model is resident, and none was loaded for this"


def test_text_names_what_failed() -> None:
    lost = Timing("m:latest", False, 60.0, error="timeout")
    assert "  ! m:latest: timeout, after 60.0 s" in slow_text.text("gpu1", (lost,), ())
