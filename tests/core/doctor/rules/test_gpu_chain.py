"""One file per outcome: a host of tests/core/facts/cases, some answers replaced, and the first broken link."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core import facts
from reaper_ops.core.doctor.rules.gpu_chain import CHAINS, first_broken_link
from reaper_ops.core.inventory.settings import Settings

HOSTS = Path(__file__).parents[2] / "facts" / "cases"
CASES = sorted((Path(__file__).parent / "gpu_chain").glob("*.json"))


def load(path: Path) -> tuple[Settings, dict[str, Any], Any]:
    case = json.loads(path.read_text(encoding="utf-8"))
    host = json.loads((HOSTS / f"{case['host']}.json").read_text(encoding="utf-8"))
    return Settings(**{**host["settings"], **case["settings"]}), {**host["answers"], **case["answers"]}, case["expect"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_first_broken_link(path: Path) -> None:
    wanted, answers, expect = load(path)
    link = first_broken_link(wanted, facts.parse("gpu1", wanted, answers))
    if expect is None:
        assert link is None
        return
    assert link is not None
    found = asdict(link)
    assert (found["id"], found["link"]) == (expect["id"], expect["link"]), found
    for part in ("seen", "missing", "next_step"):
        assert expect[part] in found[part]
        assert found[part]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    path=st.sampled_from(CASES),
    lost=st.sets(st.sampled_from(["pci", "modules", "nodes", "nvidia-smi", "log", "api", "container", "process"])),
)
def test_what_could_not_be_read_never_adds_a_broken_link(path: Path, lost: set[str]) -> None:
    """Without the middle of the chain a verdict may vanish or come later, never on a host that is whole."""
    wanted, answers, expect = load(path)
    answers |= {id_: {"error": "Permission denied"} for id_ in lost & set(answers)}
    link = first_broken_link(wanted, facts.parse("gpu1", wanted, answers))
    if expect is None and "model-partly-on-gpu" not in path.stem and "api" not in lost:
        assert link is None, link


def test_every_link_of_the_chain_has_a_case() -> None:
    links = {expect["link"] for _, _, expect in map(load, CASES) if expect}
    assert links == {"pci", "module", "nodes", "tool", "driver", "toolkit", "container", "server", "model"}
    assert set(CHAINS) == {"nvidia", "amd"}
