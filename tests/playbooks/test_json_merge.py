"""json_merge: foreign keys survive, only ours go, and a broken file is never touched."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops import assets

PURE = assets.collection("plugins/module_utils") / "reaper_merge.py"
SPEC = importlib.util.spec_from_file_location("reaper_merge", PURE)
assert SPEC
assert SPEC.loader
merging = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(merging)

FOREIGN = '{\n  "log-driver": "local",\n  "dns": ["10.0.0.1"],\n  "features": {"buildkit": true}\n}\n'
OURS = {"features": {"cdi": True}, "dns": ["10.0.0.1", "10.0.0.2"], "runtimes": {"nvidia": {"path": "nvidia"}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker" / "daemon.json"


def test_merges_beside_foreign_keys(module: Any, path: Path) -> None:
    path.parent.mkdir()
    path.write_text(FOREIGN)
    path.chmod(0o640)
    done = module.predicted(path=str(path), values=OURS, backup=True)
    assert json.loads(path.read_text()) == {
        "log-driver": "local",
        "dns": ["10.0.0.1", "10.0.0.2"],
        "features": {"buildkit": True, "cdi": True},
        "runtimes": {"nvidia": {"path": "nvidia"}},
    }
    assert done["owned"] == {"features/cdi": True, "dns": ["10.0.0.2"], "runtimes": {"nvidia": {"path": "nvidia"}}}
    assert done["before"] == json.loads(FOREIGN)
    assert path.read_text().splitlines()[1].startswith('  "')
    assert oct(path.stat().st_mode & 0o777) == "0o640"
    assert Path(done["backup_file"]).read_text() == FOREIGN
    back = module.predicted(path=str(path), absent=list(done["owned"]), owned=done["owned"])
    assert back["kept"] == []
    assert json.loads(path.read_text()) == json.loads(FOREIGN)


def test_makes_the_file_and_its_directory(module: Any, path: Path) -> None:
    said = module(check=True, path=str(path), values=OURS)
    assert said["changed"]
    assert not path.parent.exists()
    module.predicted(path=str(path), values=OURS)
    assert json.loads(path.read_text()) == OURS


def test_link_is_followed(module: Any, path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / "real.json").write_text("")
    os.symlink(tmp_path / "real.json", path)
    module.predicted(path=str(path), values={"a": 1})
    assert path.is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == {"a": 1}


@pytest.mark.parametrize("text", ["{", '{"a": 1, "a": 2}', "[]", '"x"', "{'a': 1}", "\xff\xfe", "[" * 99999])
def test_broken_file_is_named_and_untouched(module: Any, path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    assert "nothing was changed" in module.fails(path=str(path), values=OURS)
    assert path.read_bytes() == text.encode("latin-1")
    assert os.listdir(path.parent) == ["daemon.json"]


def test_refused_text_is_not_written(module: Any, path: Path) -> None:
    path.parent.mkdir()
    path.write_text(FOREIGN)
    said = module.fails(path=str(path), values=OURS, validate=["sh", "-c", "echo no good; exit 1", "%s"])
    assert "no good" in said
    assert path.read_text() == FOREIGN
    module.predicted(path=str(path), values=OURS, validate=["grep", "-q", "cdi", "%s"])


def test_validator_that_is_missing_or_too_old_is_a_note(module: Any, path: Path) -> None:
    done = module(path=str(path), values={"a": 1}, validate=["nosuchprogram", "%s"])
    assert done["notes"] == ["not validated: nosuchprogram is not installed"]
    old = ["sh", "-c", "echo unknown flag: --validate; exit 125"]
    assert module(path=str(path), values={"a": 2}, validate=old)["notes"] == [
        "not validated: this sh does not support it"
    ]


def test_value_that_is_not_ours_stays(module: Any, path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"a": {"b": 2}, "l": [1, 2], "t": true}')
    owned = {"a/b": 1, "l": [2], "t": 1}
    done = module.predicted(path=str(path), absent=["a/b", "l", "t", "unknown"], owned=owned)
    assert done["kept"] == ["a/b", "t"]
    assert json.loads(path.read_text()) == {"a": {"b": 2}, "l": [1], "t": True}
    assert module(path=str(path), absent=["a/b"])["kept"] == ["a/b"]


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~é", max_size=3)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("ab/~", min_size=1, max_size=2), JSON, max_size=4)


def covers(whole: Any, part: Any) -> bool:
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and covers(whole[key], value) for key, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return all(any(merging.same(item, other) for other in whole) for item in part)
    return bool(merging.same(whole, part))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(document=OBJECTS, values=OBJECTS)
def test_merge_is_complete_and_settles(document: Any, values: Any) -> None:
    merged, owned, _ = merging.merge(document, values)
    assert covers(merged, values)
    again, nothing, _ = merging.merge(merged, values)
    assert merging.same(again, merged)
    assert nothing == {}
    assert bool(owned) == (not merging.same(merged, document))
    assert merging.same(merging.parse(merging.dumped(merged)), merged)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(document=OBJECTS, values=OBJECTS)
def test_taking_out_gives_the_document_back_unless_something_was_replaced(document: Any, values: Any) -> None:
    merged, owned, replaced = merging.merge(document, values)
    rest, kept = merging.without(merged, list(owned), owned)
    assert kept == []
    if not replaced:
        assert covers(rest, prune(document))
        assert covers(document, rest)


def prune(value: Any) -> Any:
    """Without empty objects and lists: those may go together with what we had put into them."""
    if not isinstance(value, dict):
        return value
    small = {key: prune(inner) for key, inner in value.items()}
    return {key: inner for key, inner in small.items() if inner not in ({}, [])}


@settings(max_examples=100, derandomize=True, deadline=None)
@given(text=st.text(max_size=40) | JSON.map(json.dumps))
def test_any_text_is_an_object_or_a_value_error(text: str) -> None:
    try:
        document = merging.parse(text)
    except ValueError as error:
        document = {"error": str(error)}
    assert isinstance(document, dict)
