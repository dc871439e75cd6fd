"""The check that models are whole, on stores of both layouts, with the commands that it runs on a host."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import testinfra

from reaper_ops.verify.check_api import check_models_are_whole
from tests import modern_store as modern


class Server:
    """A server that lists what its store has."""

    def __init__(self, store: Path, digest: str) -> None:
        self.root, self.digest = store, digest

    def api(self, _path: str) -> dict[str, Any]:
        return {"models": [{"name": "tiny:latest", "digest": self.digest}]}

    def store(self) -> str:
        return str(self.root)


class Wanted:
    models = ("tiny:latest",)


def check(store: Path, digest: str) -> None:
    check_models_are_whole(testinfra.get_host("local://"), Server(store, digest), Wanted())  # type: ignore[arg-type]


def test_a_store_before_0_40(tmp_path: Path) -> None:
    data = modern.manifest(tmp_path, "weights")
    modern.legacy(tmp_path, data, "registry.ollama.ai/library/tiny/latest")
    check(tmp_path, hashlib.sha256(data).hexdigest())
    with pytest.raises(AssertionError, match="is not the one that the API serves"):
        check(tmp_path, "0" * 64)
    modern.path_of(tmp_path, json.loads(data)["layers"][0]["digest"]).write_text("w")
    with pytest.raises(AssertionError, match="missing or of a wrong size"):
        check(tmp_path, hashlib.sha256(data).hexdigest())


def test_a_migrated_model(tmp_path: Path) -> None:
    made = modern.migrated(tmp_path)
    check(tmp_path, made.listed.removeprefix("sha256:"))
    modern.path_of(tmp_path, made.weights).unlink()
    with pytest.raises(AssertionError, match="missing or of a wrong size"):
        check(tmp_path, made.listed.removeprefix("sha256:"))
    for digest in (made.old, made.new):
        modern.path_of(tmp_path, digest).unlink()
    with pytest.raises(AssertionError, match="no manifest that it lists is in the store"):
        check(tmp_path, made.listed.removeprefix("sha256:"))


def test_no_manifest_at_all(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="there is no manifest"):
        check(tmp_path, "0" * 64)
