"""How far a pull is, by the lines of a server that tells each 60 ms and so not of each layer's end."""

from __future__ import annotations

from reaper_ops.core.models import pull_steps as rules

SIZES = {"sha256:a": 1000, "sha256:b": 30, "sha256:c": 4}


def line(layer, completed, total):
    return {"status": "pulling x", "digest": f"sha256:{layer}", "completed": completed, "total": total}


def told(lines):
    tally = rules.Tally("m:1", SIZES)
    return [tally.row(one)["model_completed"] for one in lines]


def test_a_layer_whose_end_was_not_told_is_done_when_the_next_begins():
    assert told([line("a", 960, 1000), line("b", 10, 30), line("c", 4, 4)]) == [960, 1010, 1034]


def test_the_end_of_a_pull_is_no_step_back():
    ends = ("verifying sha256 digest", "writing manifest", "success", "naming", "done")
    assert told([line("a", 960, 1000), *({"status": one} for one in ends)]) == [960, *[1034] * 5]


def test_what_failed_is_not_taken_for_done_and_a_damaged_blob_comes_again():
    waits = {"status": "waiting 2 s after: EOF"}
    assert told([line("a", 500, 1000), waits, line("b", 10, 30)]) == [500, 500, 10]
    assert told([line("a", 1000, 1000), {"status": "verifying sha256 digest"}, waits, line("a", 100, 1000)])[-1] == 134


def test_lines_that_nobody_was_shown_count():
    tally = rules.Tally("m:1", SIZES)
    tally.take(line("a", 1000, 1000))
    assert tally.row(line("b", 10, 30))["model_completed"] == 1010
