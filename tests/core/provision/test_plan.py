"""One JSON file per situation of a host: what `up` would do there, and why it would not."""

import ast
import copy
import json
from pathlib import Path

import pytest

from reaper_ops import assets
from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import HostFile
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import desired_state
from reaper_ops.core.provision.plan import swap

CASES = Path(__file__).parents[2] / "cases" / "plan"
BASES = json.loads((CASES / "bases.json").read_text())


def merged(base, change):
    """`change` laid over `base`, key by key; null removes."""
    found = copy.deepcopy(base)
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = merged(found[key], value)
        elif value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


def load(case):
    facts = codec.load("case", merged(BASES[case["base"]], case.get("facts", {})))
    return Settings(**case.get("settings", {})), facts


def settled(settings, facts):
    """The same host after `up`: our files are there, and the server runs from them."""
    intent = desired_state.derive(settings, facts)
    files = {file.path: HostFile(file.path, file.content) for file in intent.files}
    process = {"pid": 7, "exe": "/opt/ollama/x", "environ": {"REAPER_OPS_CONFIG": intent.context["config_hash"]}}
    return codec.load(
        "case",
        {
            **codec.dump(facts),
            "files": {
                **codec.dump(facts).get("files", {}),
                **{path: {"path": path, "content": file.content} for path, file in files.items()},
            },
            "process": process,
        },
    )


@pytest.mark.parametrize("path", sorted(CASES.glob("[0-9]*.json")), ids=lambda path: path.stem)
def test_plan(path):
    case = json.loads(path.read_text())
    settings, facts = load(case)
    if case.get("settled"):
        facts = settled(settings, facts)
    plan = desired_state.derive(settings, facts, case.get("sizes")).plan
    assert [f"{a.id} {a.target}" for a in plan.actions] == case["actions"]
    for kind in ("blockers", "warnings"):
        texts, wanted = getattr(plan, kind), case.get(kind, [])
        assert len(texts) == len(wanted), texts
        assert all(part in text for part, text in zip(wanted, texts, strict=True)), texts
    for id_, reason in case.get("reasons", {}).items():
        assert reason in next(a.reason for a in plan.actions if a.id == id_)


def test_every_blocker_says_what_removes_it():
    found = [text for path in CASES.glob("[0-9]*.json") for text in _blockers(json.loads(path.read_text()))]
    assert len(found) > 20
    assert [text for text in found if not text.partition("; ")[2]] == []


def _blockers(case):
    settings, facts = load(case)
    return desired_state.derive(settings, facts, case.get("sizes")).plan.blockers


def test_every_action_says_why():
    for path in sorted(CASES.glob("[0-9]*.json")):
        settings, facts = load(json.loads(path.read_text()))
        assert all(action.reason for action in desired_state.derive(settings, facts).plan.actions)


def test_a_file_action_shows_its_difference():
    settings, facts = load({"base": "debian13"})
    unit = next(a for a in desired_state.derive(settings, facts).plan.actions if a.id == "ollama/unit")
    assert "+++ /etc/systemd/system/ollama.service (desired)" in unit.diff
    assert "+ExecStart=/opt/ollama/current/bin/ollama serve" in unit.diff


def test_roles_get_plain_data():
    settings, facts = load({"base": "debian13", "settings": {"ollama_models": ["llama3"]}})
    given = desired_state.derive(settings, facts).for_roles()
    assert json.loads(json.dumps(given)) == given
    assert given["plan"]["models/pull"] == ["llama3:latest"]
    assert given["archives"][0]["sha256"]
    assert given["owned"]["packages"] == ["zstd"]


@pytest.mark.parametrize(("edited", "restarts"), [(900, True), (1100, False)])
def test_a_server_that_was_started_from_an_edited_file_is_restarted(edited, restarts):
    """Its mark is still the wished one: only the times tell whether it runs from the edit."""
    settings, facts = Settings(), codec.load("case", BASES["installed"])
    plain = codec.dump(settled(settings, facts))
    dropin = "/etc/systemd/system/ollama.service.d/zz-reaper_ops.conf"
    plain["files"][dropin] |= {"content": "[Service]\nMemoryMax=1M\n", "mtime": edited}
    plain["process"]["started"] = 1000
    actions = [action.id for action in desired_state.derive(settings, codec.load("case", plain)).plan.actions]
    assert ("ollama/restart" in actions) is restarts
    assert "ollama/settings" in actions


def test_plan_and_module_refuse_the_same_file_systems():
    source = (assets.collection("plugins/module_utils") / "reaper_swapfile.py").read_text()
    table = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REFUSED"
    )
    assert [pattern for pattern, _why in table] == [pattern for pattern, _why in swap.REFUSED]
    assert swap.refused("fuse.sshfs")
    assert not swap.refused("ext4")
