"""The simulated server is asked what a real one was asked, and must answer alike: status, type, shape, error text."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import pytest
from subject import Answer, Started, Starter, ask, simulated

from reaper_ops.lab.registry import LabRegistry

CASES = Path(__file__).parents[1] / "cases" / "recorded"
GROUPS: dict[str, list[str]] = json.loads((Path(__file__).parent / "replay.json").read_text())
THEIRS = "127.0.0.1:31900"
NAMES = sorted(path.stem for path in CASES.glob("*.json"))


def members(group: str) -> list[str]:
    found = [name for pattern in GROUPS[group] for name in fnmatch.filter(NAMES, pattern)]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, registry: LabRegistry) -> Any:
    """One server per group, made when it is first asked for."""
    directory = tmp_path_factory.mktemp("replay")
    starter = Starter("simulated", simulated(directory / "tree"), directory)
    made: dict[str, Started] = {}

    def server(group: str) -> Started:
        if group not in made:
            made[group] = _prepared(starter, directory, group, registry)
        return made[group]

    yield server
    starter.stop()


def _prepared(starter: Starter, directory: Path, group: str, registry: LabRegistry) -> Started:
    faults = directory / f"{group}.json"
    started = starter.start(REAPER_OPS_LAB_FAULTS=str(faults), OLLAMA_NUM_PARALLEL="1")
    subject = started.wait_ready()
    if group not in {"empty", "stored"}:
        for theirs, name in (("ok/big:1b", "big"), ("ok/mid:150m", "mid"), ("ok/tiny:1m", "tiny:1m")):
            subject.pull(f"{registry.name}/{theirs}")
            subject.ask("POST", "/api/copy", {"source": f"{registry.name}/{theirs}", "destination": name})
        faults.write_text(json.dumps({group: {}}))
    return started


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in GROUPS for name in members(group)])
def test_answers_alike(servers: Any, registry: LabRegistry, group: str, name: str) -> None:
    started = servers(group)
    case = json.loads((CASES / f"{name}.json").read_text())
    request, expected = case["request"], case["response"]
    body = json.loads(json.dumps(request["body"]).replace(THEIRS, registry.name))
    body = None if body in ({}, "") and request["method"] == "GET" else body
    answer = ask(started.subject.url, request["method"], request["path"], body, request["headers"])
    assert answer.status == expected["status"]
    assert answer.kind == expected["headers"].get("content-type")
    ours = _told(_text(answer.text, started, registry))
    theirs = _told(_text(expected.get("body") or "\n".join(expected.get("lines") or []), started, registry))
    assert ours == theirs


def _text(text: str, started: Started, registry: LabRegistry) -> str:
    """Without what differs from run to run: addresses, directories, digests."""
    text = text.replace(registry.name, THEIRS).replace(
        "localhost:" + registry.name.rpartition(":")[2], "localhost:31900"
    )
    text = text.replace(str(started.models), "STORE")
    text = re.sub(r"WORK/m/\w+", "STORE", text)
    return re.sub(r"[0-9a-f]{64}", "DIGEST", text)


def _told(text: str) -> Any:
    """What an answer says: the shape of its first and last part, and every error word by word."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    if lines[0].startswith(("data:", "event:")):
        events = [line.partition(": ")[2] for line in lines if line.startswith("event:")]
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data:")]
        return _unique(events), _part(data[0]), _part(data[-1])
    return _part(lines[0]), _part(lines[-1])


def _unique(items: list[str]) -> list[str]:
    return [item for position, item in enumerate(items) if position == 0 or items[position - 1] != item]


def _part(line: str) -> Any:
    try:
        return _shape(json.loads(line))
    except ValueError:
        return line


def _shape(value: Any, key: str = "") -> Any:
    if key in {"error", "message", "status", "done_reason", "type", "finish_reason"} and isinstance(value, str):
        return value
    if key in {"model_info", "details", "cloud"} and isinstance(value, dict):
        return sorted(value)
    if isinstance(value, dict):
        return {name: _shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    return type(value).__name__


def test_every_group_has_members() -> None:
    assert {group: len(members(group)) for group in GROUPS if not members(group)} == {}
    assert Answer(200, {}, b'{"error":"x"}').error() == "x"
