"""The module that reads the mirror's disk: odd files are no trouble, and check mode foretells."""

from __future__ import annotations

import hashlib
import importlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops import assets

PLACES = ("data", "cache", "own", "log", "tmp", "run", "sockets")


@pytest.fixture
def paths(tmp_path):
    found = {name: str(tmp_path / name) for name in PLACES} | {"data": str(tmp_path)}
    for name in PLACES[1:]:
        (tmp_path / name).mkdir()
    return found


def piece(folder, name, digest, first, data, total, source=" https://registry.ollama.ai"):
    key = f"\nKEY: {digest}bytes={first}-{first + len(data) - 1}{source}\n"
    head = b"\x05" + b"\0" * 300 + key.encode()
    head += (
        f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{first + len(data) - 1}/{total}\r\n\r\n".encode()
    )
    (folder / name).write_bytes(head + data)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_pieces_become_blobs(module, paths, tmp_path):
    data = bytes(range(256)) * 4
    digest, half = digest_of(data), digest_of(b"half")
    piece(tmp_path / "cache", "b", digest, 600, data[600:], len(data))
    piece(tmp_path / "cache", "a", digest, 0, data[:600], len(data))
    piece(tmp_path / "cache", "c", half, 0, b"ha", 4)
    (tmp_path / "cache" / "rubbish").write_bytes(b"KEY: no")
    blobs = module(paths=paths)["store"]["blobs"]
    assert blobs[digest] == {"bytes": 1024, "total": 1024, "pieces": 2, "whole": True}
    assert blobs[half]["whole"] is False


def test_collecting_is_foretold(module, paths, tmp_path):
    good, bad, unwanted = b"good" * 9, b"bad!" * 9, b"gone" * 9
    piece(tmp_path / "cache", "a", digest_of(good), 0, good, 36)
    piece(tmp_path / "cache", "b", digest_of(b"else"), 0, bad, 36)
    piece(tmp_path / "cache", "c", digest_of(unwanted), 0, unwanted, 36)
    keep = [digest_of(good), digest_of(b"else")]
    done = module.predicted(paths=paths, state="collected", keep=keep, verify=True)
    assert done["removed"] == {
        digest_of(b"else"): "its bytes are wrong",
        digest_of(unwanted): "no model of the lock uses it",
    }
    assert done["freed"] == 72
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["a"]


def test_sources_are_told_apart_and_what_nobody_is_served_goes(module, paths, tmp_path):
    good, liar = b"good" * 9, " http://liar:5000"
    piece(tmp_path / "cache", "a", digest_of(good), 0, good, 36)
    piece(tmp_path / "cache", "b", digest_of(good), 0, b"evil" * 9, 36, liar)
    piece(tmp_path / "cache", "c", digest_of(b"old"), 0, b"old", 3, "")
    assert module(paths=paths)["store"]["blobs"][digest_of(good)] == {
        "bytes": 72,
        "total": 36,
        "pieces": 2,
        "whole": True,
    }
    done = module.predicted(paths=paths, state="collected", verify=True)
    assert done["removed"] == {
        digest_of(good): "its bytes are wrong",
        digest_of(b"old"): "stored by an older mirror and no longer served",
    }
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["a"]


def test_logs_are_counted(module, paths, tmp_path):
    lan = [
        {"uri": "/v2/l/m/blobs/x", "status": 206, "sent": 10, "cache": "HIT"},
        {"uri": "/v2/l/m/manifests/1", "status": 502, "sent": 1, "cache": ""},
        {"uri": "/favicon.ico", "status": 404, "sent": 9, "cache": ""},
    ]
    wan = [{"uri": "/", "status": "307 : 206", "received": "100 : 900"}, {"uri": "/", "status": "502", "received": "0"}]
    (tmp_path / "log" / "lan.log").write_text("".join(json.dumps(row) + "\n" for row in lan) + '{"uri": "/v2/cut')
    (tmp_path / "log" / "wan.log").write_text("".join(json.dumps(row) + "\n" for row in wan))
    counters = module(paths=paths)["store"]["counters"]
    assert counters == {
        "requests": 2,
        "lan_bytes": 11,
        "hits": 1,
        "errors": 1,
        "wan_requests": 2,
        "wan_bytes": 1000,
        "wan_errors": 1,
    }


def test_clearing_leaves_own_models(module, paths, tmp_path):
    (tmp_path / "own" / "model").write_text("mine")
    module.predicted(paths=paths, state="cleared")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]
    module.predicted(paths=paths, state="cleared", own=True)
    assert list(tmp_path.iterdir()) == []


def test_relative_paths_are_refused(module, paths):
    assert "cache is not an absolute path" in module.fails(paths={**paths, "cache": "cache"})


@settings(max_examples=40)
@given(st.binary(max_size=400))
def test_no_bytes_in_the_cache_are_trouble(tmp_path_factory, data):
    reader = importlib.import_module(f"{assets.MODULE_UTILS}.reaper_mirror")
    folder = tmp_path_factory.mktemp("cache")
    (folder / "x").write_bytes(b"\nKEY: sha256:" + data)
    blobs, others = reader.cached(str(folder))
    assert len(blobs) + len(others) <= 1
