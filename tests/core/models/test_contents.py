"""Judging what hashing a store has told: the lock and the settings say what should be there."""

from __future__ import annotations

from reaper_ops.core.models import contents
from reaper_ops.core.models.contents import Verified
from reaper_ops.core.models.lock import Layer, Lock, Locked
from reaper_ops.formats.models.contents import as_lines, as_text

DIGEST = "a" * 64
NAME = "registry.ollama.ai/library/m:1"


def row(name=NAME, digest=DIGEST, error="", blobs=()):
    return {"name": name, "digest": digest, "error": error, "blobs": list(blobs), "count": 2, "bytes": 5}


def locked(digest=DIGEST):
    return Lock((Locked(NAME, f"sha256:{digest}", "", (Layer("sha256:" + "b" * 64, 5, ""),), "", ""),))


def judged(*rows, lock=None, wanted=("m:1",), **more):
    return contents.judge("h", {"models": rows, "store": "/s", **more}, wanted, lock or locked())


def test_states():
    bad = {"digest": "sha256:" + "b" * 64, "state": "missing", "problem": "is not there"}
    assert [one.state for one in judged(row()).models] == ["ok"]
    assert [one.state for one in judged(row(), lock=locked("c" * 64)).models] == ["drift"]
    assert [one.state for one in judged(row(name="registry.ollama.ai/library/x:1")).models] == ["unlocked", "absent"]
    sick = judged(row(error="blob x is not there", blobs=[bad]))
    assert (sick.models[0].state, sick.damaged, sick.to_repair) == ("damaged", (), (NAME,))


def test_a_migrated_model_is_the_locked_one():
    found = judged({**row(digest="f" * 64), "known_as": [f"sha256:{DIGEST}"]})
    assert [(one.state, one.migrated) for one in found.models] == [("ok", True)]
    assert "m:1  ok (migrated)  ffff" in as_text(Verified((found,), {}))
    assert [one.migrated for one in judged(row()).models] == [False]
    other = judged({**row(digest="f" * 64), "known_as": ["sha256:" + "e" * 64]})
    assert [one.state for one in other.models] == ["drift"]


def test_a_damaged_blob_that_nobody_names_is_a_finding_and_a_good_one_is_not():
    blob = {"digest": "sha256:" + "d" * 64, "state": "ok", "bytes": 7}
    calm = Verified((judged(row(), unnamed=[blob], unfinished=2),), {})
    assert calm.exit_code == 0
    assert "no manifest names sha256-dddd" in as_text(calm)
    assert "2 downloads are unfinished" in as_text(calm)
    loud = Verified((judged(row(), unnamed=[{**blob, "state": "damaged", "problem": "its bytes hash to x"}]),), {})
    assert loud.exit_code == 3
    assert "a pull would take it as it is" in as_text(loud)
    assert "0 of 1 hosts" in as_text(loud)
    assert as_lines(loud).splitlines()[1].startswith("h - unnamed-damaged - sha256-dddd")


def test_the_lock_of_a_pull_that_runs_is_no_model():
    held = row(name="registry.ollama.ai/reaper-ops/lock:ann-a.1-a")
    assert [one.name for one in judged(row(), held).models] == [NAME]
