"""Plain lines of what happens: one line for each thing, whatever it says."""

from __future__ import annotations

from reaper_ops.formats.progress import ProgressLines


def test_a_tenth_is_of_the_model_and_a_failure_is_one_line(capsys):
    plain = ProgressLines()
    layer = {"event": "progress", "host": "a", "model": "m:1", "completed": 10, "total": 10, "layer": "sha256:b"}
    plain({**layer, "model_completed": 5_000_000_000, "model_total": 10_000_000_000})
    plain({**layer, "model_completed": 5_100_000_000, "model_total": 10_000_000_000})
    plain({**layer, "model": "n:1", "model_total": None})
    plain({"event": "failed", "host": "a", "result": {"msg": "one\ntwo"}})
    assert capsys.readouterr().err.splitlines() == [
        "a: m:1 50 % of 10.0 GB",
        "a: n:1 100 % of 10 B",
        "a: failed: one two",
    ]
