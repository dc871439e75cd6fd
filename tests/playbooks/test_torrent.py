"""Torrents that we write: read back by a reader of its own, and by aria2 where it is installed."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops import assets

PATH = assets.collection("plugins/module_utils/reaper_torrent.py")
SPEC = importlib.util.spec_from_file_location("reaper_torrent", PATH)
assert SPEC
assert SPEC.loader
torrents: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(torrents)

VALUES = st.recursive(
    st.integers() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


def decoded(data: bytes, at: int = 0) -> tuple[Any, int]:
    if data[at : at + 1] == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if data[at : at + 1] in (b"l", b"d"):
        rows, place = [], at + 1
        while data[place : place + 1] != b"e":
            row, place = decoded(data, place)
            rows.append(row)
        if data[at : at + 1] == b"l":
            return rows, place + 1
        keys = rows[::2]
        assert keys == sorted(set(keys))
        return {key.decode(): value for key, value in zip(keys, rows[1::2], strict=True)}, place + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end


@settings(max_examples=60)
@given(VALUES)
def test_what_is_encoded_can_be_read_back(value: Any) -> None:
    data = torrents.encoded(value)
    assert decoded(data) == (value, len(data))


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000])
def test_pieces_cover_the_file(tmp_path: Path, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    (tmp_path / "x").write_bytes(data)
    found, pieces = torrents.read(str(tmp_path / "x"), size)
    length = torrents.piece_length(size)
    assert found == hashlib.sha256(data).hexdigest()
    assert pieces == b"".join(hashlib.sha1(data[at : at + length]).digest() for at in range(0, size, length))


@settings(max_examples=60)
@given(st.integers(1, 1 << 42))
def test_pieces_are_neither_many_nor_large(size: int) -> None:
    length = torrents.piece_length(size)
    assert length in [64 << (10 + power) for power in range(8)]
    assert length == 8 << 20 or size <= 2048 * length


def test_aria2_reads_the_same(tmp_path: Path) -> None:
    if shutil.which("aria2c") is None:
        pytest.skip("not installed: aria2c (Debian: aria2)")
    (tmp_path / "blob").write_bytes(b"x" * 200_000)
    _, pieces = torrents.read(str(tmp_path / "blob"), 200_000)
    data, info_hash = torrents.torrent("blob", 200_000, pieces, "http://192.0.2.1:6969/announce", "salt")
    (tmp_path / "t.torrent").write_bytes(data)
    argv = ["aria2c", "--no-conf", "--show-files", str(tmp_path / "t.torrent")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert f"Info Hash: {info_hash}" in said
    assert "Mode: single" in said
    assert "The Number of Pieces: 4" in said
    assert "http://192.0.2.1:6969/announce" in said


def test_who_knows_the_blob_alone_does_not_know_the_hash() -> None:
    """The hash is what lets a peer in, so each pull has one of its own."""
    hashes = {torrents.torrent("blob", 3, b"p" * 20, "http://192.0.2.1/announce", salt)[1] for salt in ("one", "two")}
    plain = {"length": 3, "name": "blob", "piece length": 64 << 10, "pieces": b"p" * 20, "private": 1}
    assert len(hashes | {hashlib.sha1(torrents.encoded(plain)).hexdigest()}) == 3
