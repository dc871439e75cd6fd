"""Answers of anybody, read as the few types that they may have."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hostile_answers import DEEP, DIGITS
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core import typed, values
from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health import probe
from reaper_ops.core.models import gguf_header, names, outcome
from reaper_ops.core.models import pull_steps as rules
from reaper_ops.core.models.gguf_header import NotGguf

FEW = settings(max_examples=60, deadline=None)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("x:1") | st.just(1 << 70)
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
KEYS = ("name", "digest", "size", "size_vram", "context_length", "expires_at", "modified_at", "remote_model")
LINE = ("status", "digest", "total", "completed", "error")
ROWS = st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, ANY))


def exchange(path: str, body: str) -> Exchange:
    return Exchange(path, "done", status=200, body=body)


@FEW
@given(st.fixed_dictionaries({}, optional={"models": ANY | st.lists(ROWS | ANY, max_size=5), "version": ANY}) | ANY)
def test_any_json_is_observed_in_the_types_that_it_may_have(body: Any) -> None:
    text = json.dumps(body)
    seen = probe.observe("h", "", [exchange(path, text) for path in ("/api/version", "/api/tags", "/api/ps")])
    for row in (*(seen.models or ()), *(seen.loaded or ())):
        assert typed.is_name(row.name)
        assert row.size is None or 0 <= row.size < 1 << 63
        assert row.digest == "" or int(row.digest, 16) >= 0
    for loaded in seen.loaded or ():
        assert all(value is None or 0 <= value < 1 << 63 for value in (loaded.size_vram, loaded.context))
        loaded.expires_at.encode("utf-8")
    assert seen.version is None or seen.version.isascii()


@FEW
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("status", "digest", "total", "completed", "error"), ANY)) | ANY
)
def test_any_line_of_a_pull_is_progress_or_its_error(line: Any) -> None:
    stream = rules.Stream({"stall_timeout": 9, "verify_timeout": 9}, 0.0)
    tally = rules.Tally("m", {"sha256:aa": 5})
    found = tally.row(stream.line(json.dumps(line), 1.0))
    assert isinstance(stream.error, str)
    assert found["completed"] >= 0
    assert found["total"] >= 0


@FEW
@given(ANY | st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "bytes", "seconds", "notes"), ANY))))
def test_any_rows_of_a_module_are_taken(found: Any) -> None:
    for done in outcome.rows("h", found):
        names.short(done.name)
        assert 0 <= done.bytes < 1 << 63


@FEW
@given(st.lists(ANY | st.fixed_dictionaries({}, optional=dict.fromkeys(("path", "status", "body", "elapsed_ms"), ANY))))
def test_any_exchanges_of_a_module_are_taken(raw: Any) -> None:
    for one in exchanges.rows(raw):
        assert one.elapsed_ms == one.elapsed_ms
        one.body.encode("utf-8")


@FEW
@given(st.text(alphabet="aZ0_.-/:@ \n", max_size=12))
def test_a_name_is_one_here_as_in_settings(text: str) -> None:
    """Settings also take sets, and refuse models that run elsewhere."""
    try:
        values.model_name(text)
        good = not text.startswith("@")
    except ValueError as error:
        good = "is a cloud model" in str(error)
    assert typed.is_name(text) is good


@pytest.mark.parametrize("value", [DIGITS, "-1", "1.0", "1e3", "1e999", "NaN", "true", '"7"', "[7]", str(1 << 63)])
def test_a_size_that_is_none_is_unknown(value: str) -> None:
    found = probe.observe("h", "", [exchange("/api/tags", f'{{"models":[{{"name":"x:1","size":{value}}}]}}')])
    assert found.models == (probe.ListedModel("x:1"),)


@pytest.mark.parametrize("text", [DEEP, "{" * 90_000, '{"a":' * 90_000, "[]" * 90_000, "9" * 100_000 + ","])
def test_what_is_nested_without_end_is_no_document(text: str) -> None:
    assert typed.document(text) is None


def test_what_is_left_out_is_said_in_letters() -> None:
    names = ("reaper-ops/lock:a.1", "a/b/c/d:1", "s\ud800:1", "x:1")
    body = json.dumps({"models": [*({"name": name} for name in names), 7, {}]})
    found = probe.observe("h", "", [exchange("/api/tags", body)])
    assert [one.name for one in found.models or ()] == ["x:1"]
    assert found.odd == ("'a/b/c/d:1'", r"'s\ud800:1'", "7", "1 more")


@pytest.mark.parametrize("digits", ["²", "٣", "-1", "+1", "1_0", " 1", "", "9" * 20, str(1 << 63)])
def test_digits_are_ascii_and_64_bits(digits: str) -> None:
    assert typed.digits(digits) is None


def gguf(dimensions: tuple[int, ...] = (2, 3), architecture: bytes = b"llama", tensors: int = 1, **more: Any) -> bytes:
    def text(data: bytes) -> bytes:
        return struct.pack("<Q", more.get("length", len(data))) + data

    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, more.get("pairs", 1))
    pair = text(b"general.architecture") + struct.pack("<I", 8) + text(architecture)
    shape = struct.pack("<I", len(dimensions)) + struct.pack(f"<{len(dimensions)}Q", *dimensions)
    return head + pair + more.get("extra", b"") + (text(b"t") + shape + struct.pack("<IQ", 0, 0)) * tensors


class Counted(io.BytesIO):
    """How many bytes were asked for."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        self.taken += size or 0
        return super().read(size)


def test_a_header_is_read_as_it_is() -> None:
    assert gguf_header.read(io.BytesIO(gguf((4096, 4096, 2, 2)))).parameters == 4096 * 4096 * 4


@pytest.mark.parametrize(
    "data",
    [
        gguf((1,) * 5),
        gguf((2**64 - 1,) * 20_000),
        gguf((2**64 - 1,) * 4),
        gguf((2**63,)),
        gguf((2**62, 2)),
        gguf((2**62,), tensors=2),
        gguf(architecture=b"llama\x1b]0;p\x07"),
        gguf(architecture=b""),
        gguf(architecture=b"x" * 100),
        gguf(length=1 << 40),
        gguf(pairs=1 << 40),
        gguf(pairs=2, extra=struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 8, 1 << 40)),
        gguf(pairs=2, extra=struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 10, 1 << 24)),
        gguf(pairs=2, extra=struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 9, 1) * 9),
    ],
)
def test_a_header_that_is_none_is_refused_before_more_of_it_is_read(data: bytes) -> None:
    file = Counted(data)
    with pytest.raises(NotGguf):
        gguf_header.read(file)
    assert file.taken < len(data) + (2 << 20)


def test_a_header_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_header, "HEAD", 1000)
    with pytest.raises(NotGguf, match="header of more than 1000 bytes"):
        gguf_header.read(io.BytesIO(gguf(tensors=100)))


PATIENT = {"stall_timeout": 75, "verify_timeout": 3600}
LAYER = "sha256:" + "a" * 64


def _ended(lines: Iterable[dict[str, Any]], sizes: dict[str, int] | None = None) -> tuple[str, float]:
    """The error of a pull that sends a line each second, and when it came."""
    stream = rules.Stream(PATIENT, 0.0, sizes)
    for now, line in enumerate(lines):
        stream.line(json.dumps(line), float(now))
        if stream.over:
            return stream.error, float(now)
    return "", -1.0


def _pulling(completed: int, total: int, status: str = "pulling aaaaaaaaaaaa") -> dict[str, Any]:
    return {"status": status, "digest": LAYER, "total": total, "completed": completed}


@pytest.mark.parametrize(
    "line",
    [
        lambda now: _pulling(9, 10),
        lambda now: _pulling(0, 10, f"pulling {now}"),
        lambda now: {"status": f"pulling {now}"} if now >= 256 else _pulling(1, 10),
        lambda now: {"status": ("pulling manifest", "verifying sha256 digest")[now % 2]},
        lambda now: _pulling(9, 10) if now % 2 else {"status": "writing manifest"},
    ],
)
def test_lines_without_bytes_are_no_progress(line: Callable[[int], dict[str, Any]]) -> None:
    error, now = _ended(map(line, range(5000)))
    assert error.startswith("stalled: no new bytes for 75 s")
    assert now < 256 + 2 * 75


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (lambda now: _pulling(now, 1 << 60), "the server reports a larger layer than the lock"),
        (lambda now: _pulling(100 * (now % 2), 100), "the server reports 900 bytes, the lock has 110"),
    ],
)
def test_a_pull_of_more_than_the_lock_has_ends(line: Callable[[int], dict[str, Any]], error: str) -> None:
    assert _ended(map(line, range(5000)), {LAYER: 100, "sha256:bb": 10})[0] == error


def test_a_part_that_is_fetched_again_is_progress() -> None:
    """A server counts back what came over a connection that broke."""
    lines = [*(_pulling(n, 300) for n in (*range(200), *range(100, 301))), {"status": "success"}]
    assert _ended(lines, {LAYER: 300}) == ("", 401.0)
