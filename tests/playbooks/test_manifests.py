"""The one reader of a store's manifests: both layouts, lists, what a migration leaves, what no server would take."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import modern_store as modern

UTILS = "ansible_collections.reaper_ops.ollama.plugins.module_utils"
TINY = "registry.ollama.ai/library/tiny:latest"


@pytest.fixture
def reader() -> Any:
    return importlib.import_module(f"{UTILS}.reaper_manifests")


@pytest.fixture
def contents() -> Any:
    return importlib.import_module(f"{UTILS}.reaper_contents")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "models/blobs").mkdir(parents=True)
    return tmp_path / "models"


def only(contents: Any, store: Path) -> dict[str, Any]:
    (row,) = contents.models_in(str(store))
    return dict(row)


def test_a_migrated_model_is_one_model_with_both_its_manifests_and_all_their_blobs(contents: Any, store: Path) -> None:
    made = modern.migrated(store)
    row = only(contents, store)
    assert (row["name"], row["path"], row["error"]) == (TINY, str(made.entry), "")
    assert f"sha256:{row['digest']}" == made.listed
    assert {made.listed, made.old, made.new, made.weights} <= set(row["sizes"])
    assert {f"sha256-{digest[7:]}" for digest in row["sizes"]} == set(os.listdir(store / "blobs"))
    assert contents.unnamed(str(store)) == ({}, 0)


def test_what_only_a_shadow_names_is_neither_a_model_nor_without_a_name(contents: Any, store: Path) -> None:
    made = modern.migrated(store)
    made.entry.unlink()
    (store / "manifests/registry.ollama.ai/library/tiny/latest").unlink()
    assert contents.models_in(str(store)) == []
    assert made.weights not in contents.unnamed(str(store))[0]
    assert made.listed in contents.unnamed(str(store))[0]


def test_what_only_the_manifest_for_an_older_server_names_is_not_without_a_name(contents: Any, store: Path) -> None:
    old = modern.manifest(store, "old")
    modern.legacy(store, old, "registry.ollama.ai/library/tiny/latest")
    modern.linked(store, modern.manifest(store, "new"), "ollama.com/library/tiny/latest")
    assert json.loads(old)["layers"][0]["digest"] not in only(contents, store)["sizes"]
    assert contents.unnamed(str(store)) == ({}, 0)


def test_the_entry_of_today_comes_before_both_spellings_of_the_old_one(contents: Any, store: Path) -> None:
    wanted = modern.manifest(store, "today")
    modern.legacy(store, modern.manifest(store, "a"), "registry.ollama.ai/library/tiny/latest")
    modern.legacy(store, modern.manifest(store, "b"), "ollama.com/library/tiny/latest")
    modern.linked(store, wanted, "ollama.com/library/tiny/latest")
    assert f"sha256:{only(contents, store)['digest']}" == modern.blob(store, wanted)


def test_of_two_old_spellings_the_first_counts(contents: Any, store: Path) -> None:
    wanted = modern.manifest(store, "a")
    modern.legacy(store, modern.manifest(store, "b"), "ollama.com/library/tiny/latest")
    modern.legacy(store, wanted, "registry.ollama.ai/library/tiny/latest")
    row = only(contents, store)
    assert (row["name"], f"sha256:{row['digest']}") == (TINY, modern.blob(store, wanted))


def test_a_copy_instead_of_a_link_is_read_and_a_port_in_a_host_is_written_otherwise(contents: Any, store: Path) -> None:
    entry = store / "manifests-v2/127.0.0.1%3A5000/team/own/1"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(modern.manifest(store, "own"))
    row = only(contents, store)
    assert (row["name"], row["error"]) == ("127.0.0.1:5000/team/own:1", "")


def test_a_link_without_its_blob_gives_way_to_the_old_manifest(contents: Any, store: Path) -> None:
    old = modern.manifest(store, "old")
    modern.legacy(store, old, "registry.ollama.ai/library/tiny/latest")
    entry = modern.linked(store, modern.manifest(store, "new"), "ollama.com/library/tiny/latest")
    entry.resolve().unlink()
    assert f"sha256:{only(contents, store)['digest']}" == modern.blob(store, old)


def test_a_link_without_its_blob_and_nothing_else_is_told(contents: Any, store: Path) -> None:
    entry = modern.linked(store, modern.manifest(store, "new"), "ollama.com/library/tiny/latest")
    entry.resolve().unlink()
    assert only(contents, store)["error"] == f"{entry} is a link to a blob that is not there"


def test_manifests_that_were_not_pulled_are_no_damage_but_one_must_be_there(contents: Any, store: Path) -> None:
    made = modern.migrated(store)
    modern.path_of(store, made.new).unlink()
    row = only(contents, store)
    assert (row["error"], made.new in row["sizes"]) == ("", False)
    modern.path_of(store, made.old).unlink()
    assert only(contents, store)["error"] == f"{made.entry} lists no manifest that is in the store"


def outside(store: Path) -> Path:
    secret = store.parent / f"sha256-{'a' * 64}"
    secret.write_text(json.dumps({"config": None, "layers": [{"digest": "sha256:secret", "size": 1}]}))
    entry = store / "manifests-v2/ollama.com/library/tiny/latest"
    entry.parent.mkdir(parents=True)
    entry.symlink_to(secret)
    return entry


def other_name(store: Path) -> Path:
    entry = modern.linked(store, modern.manifest(store, "x"), "ollama.com/library/tiny/latest")
    entry.resolve().rename(store / "blobs/manifest")
    entry.unlink()
    entry.symlink_to("../../../../blobs/manifest")
    return entry


def changed(store: Path) -> Path:
    entry = modern.linked(store, modern.manifest(store, "x"), "ollama.com/library/tiny/latest")
    entry.resolve().write_bytes(modern.manifest(store, "y"))
    return entry


def tag(store: Path, data: bytes) -> Path:
    return modern.linked(store, data, "ollama.com/library/tiny/latest")


def in_a_list(store: Path) -> Path:
    return tag(store, modern.listing((modern.blob(store, modern.listing(("sha256:" + "b" * 64, "mlx"))), "mlx")))


def is_a_list_itself(store: Path) -> Path:
    child = {"mediaType": modern.LIST, "digest": "sha256:" + "b" * 64}
    return tag(store, json.dumps({"mediaType": modern.LIST, "manifests": [child]}).encode())


def too_many(store: Path) -> Path:
    return tag(store, modern.listing(*((f"sha256:{number:064x}", "mlx") for number in range(10_000))))


def other_type(store: Path) -> Path:
    document = json.loads(modern.manifest(store, "x"))
    return tag(store, json.dumps({**document, "mediaType": modern.LIST}).encode())


def empty(store: Path) -> Path:
    return tag(store, modern.listing())


def list_as_manifest(store: Path) -> Path:
    document = json.loads(modern.listing(("sha256:" + "b" * 64, "mlx")))
    return tag(store, json.dumps({**document, "mediaType": modern.MANIFEST}).encode())


def climbing(store: Path) -> Path:
    return tag(store, modern.listing(("sha256:../../../etc/passwd", "mlx")))


def damaged_child(store: Path) -> Path:
    digest = modern.blob(store, modern.manifest(store, "x"))
    modern.path_of(store, digest).write_bytes(b"{}")
    return tag(store, modern.listing((digest, "ggml")))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (outside, "is a link to no blob of its store"),
        (other_name, "is a link to no blob of its store"),
        (changed, "whose bytes do not match its name"),
        (in_a_list, "has no configuration and no list of layers"),
        (is_a_list_itself, "is a list that contains a list"),
        (too_many, "lists 10000 manifests; at most 32 are taken"),
        (other_type, "is a list of no manifests"),
        (empty, "is a list of no manifests"),
        (list_as_manifest, "has no configuration and no list of layers"),
        (climbing, "lists a manifest with the digest 'sha256:../../../etc/passwd'"),
        (damaged_child, "whose bytes do not match its name"),
    ],
)
def test_what_no_server_would_take_is_told_and_nothing_of_it_is_used(
    contents: Any, store: Path, harm: Callable[[Path], Path], words: str
) -> None:
    good = modern.linked(store, modern.manifest(store, "good"), "ollama.com/library/good/latest")
    entry = harm(store)
    rows = {row["name"].split("/")[-1]: row for row in contents.models_in(str(store))}
    assert (rows["good:latest"]["error"], rows["good:latest"]["path"]) == ("", str(good))
    assert str(entry) in rows["tiny:latest"]["error"]
    assert words in rows["tiny:latest"]["error"]
    assert rows["tiny:latest"]["sizes"] == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is led on by others")
def test_root_follows_a_link_of_the_servers_user_by_the_name_of_its_blob(contents: Any, store: Path) -> None:
    modern.migrated(store)
    for path in (store, *store.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    assert only(contents, store)["error"] == ""


def test_a_migrated_model_is_known_as_what_was_pulled(reader: Any, store: Path) -> None:
    made = modern.migrated(store)
    known = reader.identities(str(store))
    assert list(known) == [made.listed]
    assert {made.old, made.new, made.published} <= known[made.listed]
    assert known[made.listed].isdisjoint({made.listed, made.weights})


def test_other_weights_are_not_known_as_what_was_pulled(reader: Any, store: Path) -> None:
    made, other = modern.migrated(store), modern.migrated(store, "other", "other weights")
    assert made.published not in reader.identities(str(store))[other.listed]


def test_a_list_that_a_registry_sent_is_known_as_each_of_its_manifests(reader: Any, store: Path) -> None:
    one, absent = modern.blob(store, modern.manifest(store, "weights")), "sha256:" + "b" * 64
    data = modern.listing((one, "llamacpp"), (absent, "mlx"))
    modern.linked(store, data, "ollama.com/library/tiny/latest")
    assert {one, absent} <= reader.identities(str(store))[modern.blob(store, data)]


def test_a_manifest_hashes_as_go_writes_it_with_and_without_a_line_end(reader: Any) -> None:
    wanted = (
        b'{"schemaVersion":2,"config":{"name":"a\\u003cb\\u0026"},"layers":[{"digest":"x","name":"\xc3\xa4\\u2028"}]}'
    )
    data = wanted[:-1] + b',"runner":"ggml","format":"gguf"}'
    anchor = data.replace(b"]", b',{"mediaType":"application/vnd.ollama.manifest.list.v2+json","digest":"y"}]')
    digests = {f"sha256:{hashlib.sha256(one).hexdigest()}" for one in (wanted, wanted + b"\n")}
    assert reader.published(data) == digests
    assert reader.published(anchor) == digests


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"layers":1}', b'{"layers":["x"]}', b"\xff", b"[" * 100_000])
def test_what_is_no_manifest_is_known_as_nothing(reader: Any, data: bytes) -> None:
    assert reader.published(data) == set()


def test_with_and_without_the_name_of_the_hash(reader: Any, store: Path) -> None:
    made = modern.migrated(store)
    listed, published = made.listed.removeprefix("sha256:"), made.published.removeprefix("sha256:")
    assert reader.is_known(str(store), listed, published)
    assert reader.is_known(str(store), made.listed, made.published)
    assert reader.is_known(str(store), listed, made.listed)
    assert not reader.is_known(str(store), listed, "0" * 64)
    assert not reader.is_known(str(store), published, listed)


def test_a_swarm_brings_no_model_that_is_there_in_another_form(store: Path) -> None:
    swarm = importlib.import_module("ansible_collections.reaper_ops.ollama.plugins.modules.ollama_swarm")
    made = modern.migrated(store)
    locked = {"tiny": {"digest": made.published}}
    params = {"models": ["tiny", "gone", "any"], "models_dir": str(store), "locked": locked}
    have = {"tiny:latest": made.listed.removeprefix("sha256:"), "any:latest": "0" * 64}
    assert swarm.lacking(params, have) == ["gone"]
    locked["any"] = {"digest": "sha256:" + "1" * 64}
    assert swarm.lacking(params, have) == ["gone", "any"]


def test_without_a_store_nothing_is_known(reader: Any) -> None:
    assert reader.identities(None) == {}


@pytest.mark.parametrize(
    ("name", "shadow"),
    [
        (f"llamacpp:{'0' * 64}", True),
        (f"registry.ollama.ai/library/llamacpp:{'a' * 64}", True),
        (f"ollama.com/library/llamacpp:{'a' * 64}", True),
        ("llamacpp:latest", False),
        (f"me/llamacpp:{'0' * 64}", False),
        (f"llamacpp:{'0' * 63}", False),
        (f"llama3:{'0' * 64}", False),
    ],
)
def test_which_names_are_no_models(name: str, shadow: bool) -> None:
    assert importlib.import_module(f"{UTILS}.reaper_layout").is_shadow(name) is shadow
