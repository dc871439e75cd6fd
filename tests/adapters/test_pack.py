"""Bundles as strangers write them: whatever is wrong is said before anything is used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reaper_ops.adapters import pack
from reaper_ops.core.models import pack as rules
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models import bundle as models_bundle
from reaper_ops.flows.models.progress_events import ByteProgress
from reaper_ops.lab import models

NAME = "library/tiny:latest"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A model store, as a server would have it."""
    root = tmp_path_factory.mktemp("store")
    models.publish(root, {NAME: models.MODELS[NAME]})
    (root / "manifests/registry.ollama.ai").mkdir()
    (root / "manifests/library").rename(root / "manifests/registry.ollama.ai/library")
    return root


def create(place: Path, store: Path) -> Path:
    models_bundle.create(place, lock_path=place.with_name("none.lock"), only=("tiny",), origin=str(store))
    return place


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    create(root / "dir", store)
    create(root / "one.tar", store)
    return root


@pytest.fixture(params=["dir", "one.tar"])
def bundle(request, whole, tmp_path) -> Path:
    """A copy to harm, in either form."""
    target = tmp_path / request.param
    if target.suffix:
        shutil.copy(whole / request.param, target)
    else:
        shutil.copytree(whole / request.param, target)
    return target


def checked(place: Path) -> pack.Bundle:
    found = pack.read(place)
    pack.verify(found, ByteProgress("x", "verifying", found.contents.lock, None))
    return found


def said(place: Path) -> str:
    with pytest.raises(ReaperError) as caught:
        checked(place)
    assert caught.value.hint
    return str(caught.value)


def test_both_forms_hold_the_same_and_a_server_could_use_the_directory(bundle, store):
    found = checked(bundle)
    data = (store / "manifests/registry.ollama.ai/library/tiny/latest").read_bytes()
    assert found.contents.manifests == {"registry.ollama.ai/library/tiny:latest": data}
    assert found.contents.lock.models[0].digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    if bundle.is_dir():
        assert (bundle / "manifests/registry.ollama.ai/library/tiny/latest").read_bytes() == data
        assert subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=bundle).returncode == 0
    else:
        with tarfile.open(bundle) as tar:
            assert sorted(tar.getnames()) == sorted(found.pieces)


def test_a_tar_that_tar_itself_packed_is_read_too(whole, tmp_path):
    packed = tmp_path / "packed.tar"
    subprocess.run(["tar", "--format=gnu", "-cf", packed, "-C", whole / "dir", "."], check=True)
    assert len(checked(packed).pieces) == len(checked(whole / "one.tar").pieces)


def test_one_flipped_bit_in_a_blob_is_found(bundle):
    piece = max(pack.read(bundle).pieces.values(), key=lambda one: one.size)
    with open(piece.path, "r+b") as file:
        file.seek(piece.offset + piece.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    assert "is damaged: its bytes hash to" in said(bundle)


@pytest.mark.parametrize("share", [0.999, 0.5, 0.0])
def test_a_cut_tar_is_said(whole, tmp_path, share):
    target = tmp_path / "cut.tar"
    data = (whole / "one.tar").read_bytes()
    target.write_bytes(data[: int((len(data) - 2048) * share)])
    assert any(word in said(target) for word in ("is cut off", "is missing"))


def swap(place: Path, member: str, data: bytes) -> None:
    """Changes a member, and its sum with it."""
    (place / member).write_bytes(data)
    sums = dict(line.split("  ")[::-1] for line in (place / rules.SUMS).read_text().splitlines())
    (place / rules.SUMS).write_text(rules.sums_text({**sums, member: hashlib.sha256(data).hexdigest()}))


def edited(place: Path, member: str, **fields: object) -> None:
    swap(place, member, json.dumps({**json.loads((place / member).read_text()), **fields}).encode())


MANIFEST = "manifests/registry.ollama.ai/library/tiny/latest"


def sparse(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, rules.LARGEST_TEXT)


HARM = {
    "a newer version": (lambda p: edited(p, rules.INDEX, schema="reaper-ops/models.bundle/2"), "or a newer one"),
    "no index": (lambda p: (p / rules.INDEX).unlink(), "this is no bundle, or an unfinished one"),
    "an index that is none": (lambda p: swap(p, rules.INDEX, b"[" * 100_000), "is not JSON"),
    "no models": (lambda p: edited(p, rules.INDEX, models={}), "names no models"),
    "a file more": (lambda p: (p / "autorun.inf").write_text(""), "belongs to no bundle"),
    "a blob more": (lambda p: (p / f"blobs/sha256-{'0' * 64}").write_text(""), "is not in SHA256SUMS"),
    "a blob less": (lambda p: next((p / "blobs").iterdir()).unlink(), "is missing"),
    "a part": (lambda p: (p / f"blobs/sha256-{'0' * 64}.part").write_text(""), "is unfinished"),
    "a link": (lambda p: (p / "blobs/x").symlink_to("/etc/passwd"), "no links"),
    "a linked directory": (lambda p: (p / "manifests/x").symlink_to("/etc"), "no links"),
    "a pipe": (lambda p: os.mkfifo(p / "blobs/x"), "is not a regular file"),
    "another manifest": (lambda p: swap(p, MANIFEST, (p / MANIFEST).read_bytes() + b" "), "not the one of its lock"),
    "a manifest that is none": (lambda p: swap(p, MANIFEST, b"<html>"), "does not answer with a manifest"),
    "a manifest unlike its sum": (lambda p: (p / MANIFEST).write_text("{}"), "is not what SHA256SUMS says"),
    "another lock": (lambda p: edited(p, rules.LOCK, models={}), "index, lock and manifests alike"),
    "sums that lead away": (lambda p: (p / rules.SUMS).write_text(f"{'0' * 64}  ../../etc/passwd\n"), "is no line of"),
    "binary sums": (lambda p: (p / rules.SUMS).write_bytes(b"\xff\xfe"), "is no text"),
    "a large text": (lambda p: os.truncate(p / rules.LOCK, rules.LARGEST_TEXT + 1), "too many for what it is"),
    "many large texts": (lambda p: [sparse(p / f"manifests/h/n/m/{at}") for at in range(33)], "MiB of lock and manif"),
    "a longer blob": (lambda p: os.truncate(max((p / "blobs").iterdir()), 10**7), "its manifest says"),
}


@pytest.mark.parametrize(("harm", "words"), HARM.values(), ids=HARM)
def test_a_directory_that_is_not_as_it_was_written(whole, tmp_path, harm, words):
    target = tmp_path / "dir"
    shutil.copytree(whole / "dir", target)
    harm(target)
    assert words in said(target)


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"x", link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (entry("../../etc/cron.d/x"), "belongs to no bundle"),
        (entry("/etc/cron.d/x"), "belongs to no bundle"),
        (entry("manifests/../../x/y"), "belongs to no bundle"),
        (entry("blobs/x", tarfile.SYMTYPE, b"", "/etc/passwd"), "no links"),
        (entry("blobs/x", tarfile.LNKTYPE, b"", "/etc/passwd"), "no links"),
        (entry("blobs/x", tarfile.CHRTYPE, b""), "no links"),
        (entry("x", tarfile.XHDTYPE), "no extensions"),
        (entry("x", tarfile.GNUTYPE_SPARSE), "no extensions"),
        (entry("x", tarfile.GNUTYPE_LONGNAME, b"y" * 70_000), "has a name of 70000 bytes"),
        (entry(rules.LOCK) + entry(rules.LOCK), "is there twice"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd -d"),
        (b"PK\x03\x04" + bytes(600), "is no tar"),
        (b"", "is no bundle"),
    ],
)
def test_a_tar_of_somebody_who_means_harm(tmp_path, block, words):
    target = tmp_path / "bad.tar"
    target.write_bytes(block)
    assert words in said(target)


def test_a_size_beyond_the_file_is_no_bomb(tmp_path):
    info = tarfile.TarInfo(rules.blob_member("sha256:" + "0" * 64))
    info.size = 1 << 50
    (tmp_path / "bomb.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "is cut off" in said(tmp_path / "bomb.tar")


KNOWN_HINTS = (
    "take it out, or name the bundle itself",
    "run `reaper-ops models bundle create` again",
    "read it with the reaper_ops that wrote it, or a newer one",
    "unpack it first: `zstd -d`, `gunzip` or `xz -d`",
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_harmed_tars_are_read_as_they_were_or_refused(whole, tmp_path, data):
    """Whatever bytes change: one error with a next step, or the very models of before."""
    text = bytearray((whole / "one.tar").read_bytes())
    end = len(text) - 1024
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, min(end, 8192)) | st.integers(0, end))] ^= data.draw(st.integers(1, 255))
    target = tmp_path / "harmed.tar"
    target.write_bytes(text[: data.draw(st.just(len(text)) | st.integers(0, len(text)))])
    try:
        found = checked(target).contents
    except ReaperError as error:
        found = error.hint
    assert found in (rules.AGAIN, *KNOWN_HINTS) or found == pack.read(whole / "one.tar").contents


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abAB01./:-_~ \0\n\\", max_size=40), st.sampled_from(["", "manifests/", "blobs/", "a/b/"]))
def test_no_member_leads_out(text, start):
    if rules.is_member(start + text):
        parts = Path(start + text).parts
        assert ".." not in parts
        assert not (start + text).startswith("/")
        assert parts[0] in {"manifests", "blobs", rules.INDEX, rules.LOCK, rules.SUMS}


def test_an_empty_lock_makes_no_bundle(tmp_path):
    with pytest.raises(ReaperError, match="no MODEL was named"):
        models_bundle.create(tmp_path / "b", lock_path=tmp_path / "none.lock")
    assert not (tmp_path / "b").exists()
