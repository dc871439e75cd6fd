from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reaper_ops.core.facts.gpu_chain import AmdGpu, Gpu, NvidiaGpu
from reaper_ops.core.facts.model import Facts, Memory, System
from reaper_ops.core.health import measures
from reaper_ops.core.health.measures import Card, Measures, Room
from reaper_ops.core.health.probe import ListedModel, Observation, RunningModel

SEEN = Observation(
    "a", "http://a", models=(ListedModel("m", "ab", 5),), loaded=(RunningModel("m", size=6, size_vram=4),)
)
FACTS = Facts(
    "a",
    System(),
    memory=Memory(100, 40, 10, 9),
    gpu=Gpu(
        nvidia=(NvidiaGpu(0, "GPU-1", "A", 24, 6, "570", None),),
        amd=(AmdGpu("03:00.0", "gfx1100", 20, None),),
    ),
    cgroup_oom_kills=1,
)


def test_what_was_taken_is_read_again() -> None:
    found = measures.read(measures.take(SEEN, FACTS))
    assert found == Measures(
        memory=Room(100, 40),
        swap=Room(10, 9),
        gpus=(Card("A", 24, 6), Card("gfx1100", 20)),
        models=(ListedModel("m", "ab", 5),),
        loaded=(RunningModel("m", size=6, size_vram=4),),
        oom_kills=1,
    )
    assert found.vram == 4


def test_what_was_not_read_is_left_out() -> None:
    assert measures.take(Observation("a", "http://a"), None) == {"latency_ms": {}}
    assert measures.take(Observation("a", "http://a", models=()), None) == {"latency_ms": {}, "models": []}


@given(
    st.dictionaries(st.sampled_from(["memory", "models", "gpus", "latency_ms", "x"]), st.text() | st.lists(st.text()))
)
def test_foreign_facts_are_not_known(plain: dict[str, object]) -> None:
    assert isinstance(measures.read(plain), Measures)
