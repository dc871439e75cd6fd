"""What came over the network for a model, by lines that a server sends."""

from __future__ import annotations

from reaper_ops.core.models.pull_bytes import PullBytes

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def line(digest: str, completed: int, total: int) -> dict[str, object]:
    return {"status": "pulling", "digest": digest, "completed": completed, "total": total}


def test_the_last_line_of_a_layer_may_be_short_of_its_end():
    bytes_ = PullBytes()
    bytes_.start("m:1", {A: 100, B: 10})
    for completed in (0, 60):
        bytes_.take(line(A, completed, 100))
    bytes_.take(line(B, 0, 10))
    assert bytes_.moved("m:1", whole=False) == 60
    assert bytes_.moved("m:1", whole=True) == 110


def test_what_was_there_before_did_not_come():
    bytes_ = PullBytes()
    bytes_.start("m:1", {A: 100, B: 10})
    bytes_.take(line(A, 40, 100))
    bytes_.take(line(A, 100, 100))
    bytes_.take(line(B, 10, 10))
    assert bytes_.moved("m:1", whole=True) == 60


def test_bytes_that_were_pushed_count_with_the_pull_after_them():
    bytes_ = PullBytes()
    bytes_.start("m:1", {A: 100})
    bytes_.take(line(A, 0, 100))
    bytes_.take(line(A, 100, 100))
    bytes_.start("m:1", {A: 100})
    bytes_.take(line(A, 100, 100))
    assert bytes_.moved("m:1", whole=True) == 100
    bytes_.start("n:1", {B: 10})
    bytes_.take(line(B, 0, 10))
    assert bytes_.moved("n:1", whole=True) == 10


def test_a_server_that_counts_back_moves_nothing_below_zero():
    bytes_ = PullBytes()
    bytes_.start("m:1", {A: 100})
    bytes_.take(line(A, 50, 100))
    bytes_.take(line(A, 20, 100))
    assert bytes_.moved("m:1", whole=False) == 0
