"""Any text into any parser gives a value or None, never an error; and known texts give known values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reaper_ops.core import facts
from reaper_ops.core.facts import amd, docker, gpu, memory, nvidia, packages, store, system, unit
from reaper_ops.core.facts.answers import Answers
from reaper_ops.core.inventory.settings import Settings

PARSERS: dict[str, Callable[[str], Any]] = {
    "os_release": system.os_release,
    "jetpack": system.jetpack,
    "meminfo": memory.meminfo,
    "swaps": memory.swaps,
    "nvidia-smi": nvidia.rows,
    "nvidia driver": nvidia.kernel_driver,
    "cdi spec": nvidia.spec_names,
    "kfd": amd.kfd,
    "modules": gpu.modules,
    "version": docker.version_of,
    "docker inspect": docker.container,
    "systemctl show": unit.show,
    "dpkg": packages.installed,
    "manifest path": store.model_of,
}
PIECES = [
    *("\n", " ", "\t", "=", ":", ",", "\0", "'", '"', "\\", "0", "9" * 30, "-1", "kB", "[N/A]", "é", "٣", "²", "\x85"),
    *("Filename", "MemTotal: 1 kB", "SwapTotal:", "GPU-0", "Kernel Module 1.2", "kind: a/b", "name: x", "ID=", "[{}]"),
    *("gfx_target_version 110000", "location_id 768", "# R36", "v2.26", "installed", "null", "{", "["),
]
TEXT = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
HOSTS = sorted((Path(__file__).parent / "cases").glob("*.json"))
QUICK = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", PARSERS)
@QUICK
@given(text=TEXT)
def test_any_text_is_taken(name: str, text: str) -> None:
    first, second = PARSERS[name](text), PARSERS[name](text)
    assert first == second


@pytest.mark.parametrize("runtime", ["systemd", "docker", "process"])
@QUICK
@given(data=st.data())
def test_any_answers_are_taken(runtime: str, data: st.DataObject) -> None:
    """Answers of the right ids and the wrong shapes: a part of a real host is replaced by anything."""
    wanted = Settings(ollama_runtime=runtime)  # type: ignore[arg-type]
    ids = st.sampled_from([ask["id"] for ask in facts.asks(wanted)])
    answers = data.draw(st.dictionaries(ids, JSON, max_size=12))
    assert facts.parse("h", wanted, answers).host == "h"


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.stem)
@QUICK
@given(data=st.data())
def test_a_real_host_with_one_part_replaced(path: Path, data: st.DataObject) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    place: Any = case["answers"]
    key: Any = data.draw(st.sampled_from(sorted(place)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JSON)
    found = facts.parse("h", Settings(**case["settings"]), case["answers"])
    assert found == facts.parse("h", Settings(**case["settings"]), case["answers"])


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("2.26.1-4\n", "2.26.1-4"),
        ("v2.40.2", "2.40.2"),
        ("Docker version 28.5.1, build f8215cc", "28.5.1"),
        ("Docker version 20.10.24+dfsg1, build 297e128", "20.10.24+dfsg1"),
        ("NVIDIA Container Toolkit CLI version 1.18.0-rc.1\ncommit: 0a1b", "1.18.0-rc.1"),
        ("docker: 'compose' is not a docker command.", None),
        ("", None),
    ],
)
def test_versions(output: str, version: str | None) -> None:
    assert docker.version_of(output) == version


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("0, GPU-1, NVIDIA H200, 143771, 4, 570.86.15, 9.0", ("NVIDIA H200", 143771 << 20, 4 << 20, "9.0")),
        ("0, GPU-1, Tesla K80, 11441, [N/A], 470.256.02, [N/A]", ("Tesla K80", 11441 << 20, None, None)),
        ("0, GPU-1, A, B and C, 1, 2, 3.0, 9.0", ("A, B and C", 1 << 20, 2 << 20, "9.0")),
        ("0, GPU-1, NVIDIA GB10, [N/A], [N/A], 580.95.05, 12.1", ("NVIDIA GB10", 0, None, "12.1")),
        ("No devices were found", None),
        ("0, [N/A], Orin (nvgpu), [N/A], [N/A], 540.4.0, [N/A]", None),
    ],
)
def test_rows_of_nvidia_smi(row: str, expected: tuple[Any, ...] | None) -> None:
    found = [(gpu.name, gpu.memory_total, gpu.memory_used, gpu.compute) for gpu in nvidia.rows(row)]
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/m/manifests/registry.ollama.ai/library/llama3/8b", "llama3:8b"),
        ("/m/manifests/registry.ollama.ai/ada/llama3/8b", "ada/llama3:8b"),
        ("/m/manifests/hf.co/bartowski/X-GGUF/Q4_K_M", "hf.co/bartowski/X-GGUF:Q4_K_M"),
        ("/m/manifests/127.0.0.1:5000/ok/tiny/1m", "127.0.0.1:5000/ok/tiny:1m"),
        ("/m/manifests/library/llama3/8b", None),
        ("/m/manifests/ollama.com/library/llama3/8b", "llama3:8b"),
        ("/m/manifests-v2/ollama.com/library/llama3/8b", "llama3:8b"),
        ("/m/manifests-v2/127.0.0.1%3A5000/ok/tiny/1m", "127.0.0.1:5000/ok/tiny:1m"),
        (f"/m/manifests/registry.ollama.ai/library/llamacpp/{'0' * 64}", None),
        ("/m/manifests-v3/ollama.com/library/llama3/8b", None),
    ],
)
def test_models_by_their_manifests(path: str, name: str | None) -> None:
    assert store.model_of(path) == name


def test_a_model_of_both_layouts_is_one_and_an_entry_may_be_a_link() -> None:
    rows = [
        {"path": "/m/manifests-v2/ollama.com/library/llama3/8b", "kind": "link"},
        {"path": "/m/manifests/registry.ollama.ai/library/llama3/8b", "kind": "file"},
        {"path": "/m/manifests/registry.ollama.ai/library/old/1b", "kind": "file"},
    ]
    answers = Answers({"store": {"names": ["blobs"]}, "manifests": {"matches": rows}})
    assert store.parse_models(answers) == ("llama3:8b", "old:1b")


@pytest.mark.parametrize(
    ("target", "gfx"), [(110000, "gfx1100"), (90010, "gfx90a"), (90402, "gfx942"), (100306, "gfx1036"), (0, None)]
)
def test_kfd_targets(target: int, gfx: str | None) -> None:
    found = amd.kfd(f"gfx_target_version {target}\nlocation_id 768\ndomain 1\n")
    assert found == (("0001:03:00.0", gfx) if gfx else None)


def test_a_cdi_spec_in_json() -> None:
    spec = '"kind": "nvidia.com/gpu",\n"name": "0",\n"name": "all",\n'
    assert nvidia.spec_names(spec) == ["nvidia.com/gpu=0", "nvidia.com/gpu=all"]


def test_swap_paths_with_spaces() -> None:
    rows = memory.swaps("Filename Type Size Used Priority\n/my\\040swap file 8 0 -2\nbroken\n")
    assert rows is not None
    assert [row.path for row in rows] == ["/my swap"]
