"""Whole hosts: what reaper_read answers, and the facts that are read from it.

The cases are written after the tools' real output (`debian12-cpu-bare` is such a machine); a new one needs no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from reaper_ops.core import facts
from reaper_ops.core.facts import codec
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import layout, render

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
SHAPES = [
    {},
    {"ollama_runtime": "docker"},
    {"ollama_runtime": "process"},
    {"swap_kind": "file", "swap_path": "/srv/swap", "ollama_models_dir": "/srv/models"},
    {"swap_kind": "zram", "gpu_vendor": "none"},
    {"exposure": "open", "ollama_bind": "::", "ollama_runtime": "docker", "ollama_models_dir": "/srv/models"},
]


def look(value: Any, path: str) -> Any:
    """`gpu > pci > 0 > driver`; a last part in brackets is called."""
    for part in path.split(" > "):
        if isinstance(value, Mapping):
            value = value[part]
        elif isinstance(value, tuple | list):
            value = value[int(part)]
        else:
            value = getattr(value, part.removesuffix("()"))
            value = value() if part.endswith("()") else value
    return value


def plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return sorted(value) if isinstance(value, frozenset) else value


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_facts_of_a_host(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    found = facts.parse("gpu1", Settings(**case["settings"]), case["answers"])
    seen = {name: plain(look(found, name)) for name in case["expect"]}
    assert seen == case["expect"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_facts_of_a_host_can_be_saved(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    found = facts.parse("gpu1", Settings(**case["settings"]), case["answers"])
    saved = json.loads(json.dumps(codec.dump(found)))
    assert codec.load("saved", saved) == found


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_answers_only_what_is_asked(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    asked = {ask["id"] for ask in facts.asks(Settings(**case["settings"]))}
    assert path.stem == "nothing-answered" or set(case["answers"]) <= asked


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_ask_has_its_own_id(shape: dict[str, Any]) -> None:
    ids = [ask["id"] for ask in facts.asks(Settings(**shape))]
    assert len(ids) == len(set(ids))
    assert json.loads(json.dumps(facts.asks(Settings(**shape)))) == facts.asks(Settings(**shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_file_that_we_write_is_read(shape: dict[str, Any]) -> None:
    settings = Settings(**shape)
    found = facts.parse("gpu1", settings, {})
    read = {ask["path"] for ask in facts.asks(settings) if ask["kind"] == "file"}
    unowned = {"release_dest", "bin", "log", "pid"}
    written = dict(layout.paths(settings, layout.of(settings, found)).items())
    assert {path for name, path in written.items() if name not in unowned} <= read
    assert {target.path for target in render.targets(settings, found)} <= read


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_room_is_read_where_we_write(shape: dict[str, Any]) -> None:
    settings = Settings(**shape)
    asked = next(ask for ask in facts.asks(settings) if ask["id"] == "disks")["paths"]
    rows = {path: {"path": path, "mount": "/", "fstype": "ext4", "free": 1, "total": 2} for path in asked}
    found = facts.parse("gpu1", settings, {"disks": {"paths": rows}})
    place = layout.of(settings, found)
    assert place.models_dir in found.disks
    if settings.ollama_runtime != "docker":
        assert layout.paths(settings, place)["release_dest"] in found.disks
    assert settings.swap_kind != "file" or settings.swap_path in found.disks
