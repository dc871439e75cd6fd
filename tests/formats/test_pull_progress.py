"""The bars of a pull: what the events tell, in the words of the stages."""

from __future__ import annotations

import pytest

from reaper_ops.formats.pull_progress import TASK, Bars, Live, choose, stage


def moved(host, model, status, completed=None, total=None):
    keys = {"model_completed": completed, "model_total": total, "completed": 1, "total": 2}
    return {"event": "progress", "host": host, "model": model, "status": status, **keys}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("", "starting"),
        ("starting", "starting"),
        ("pulling manifest", "fetching"),
        ("pulling 123456789abc", "fetching"),
        ("verifying sha256 digest", "verifying"),
        ("writing manifest", "naming"),
        ("naming", "naming"),
        ("waiting 2 s after: EOF", "waiting"),
    ],
)
def test_stages_are_ours(status, said):
    assert stage(status) == said


def test_bars_add_up_and_the_end_says_why():
    bars = Bars()
    bars.take(moved("a", "tiny:1b", "pulling x", 40, 100))
    bars.take(moved("a", "small:1b", "pulling y", 10, 50))
    bars.take(moved("b", "tiny:1b", "pulling x", 25, 100))
    assert (bars.completed, bars.total) == (135, 250)
    assert bars.rows["a", "tiny:1b"].stage == "done"
    models = [{"name": "tiny:1b", "error": "no space\nleft on device"}]
    assert bars.take({"event": "failed", "host": "b", "task": TASK, "result": {"models": models}}) == (
        ("b", "tiny:1b"),
    )
    assert bars.rows["b", "tiny:1b"].stage == "failed: no space left on device"
    assert bars.rows["b", "tiny:1b"].completed == 25
    assert bars.take({"event": "ok", "host": "b", "task": "other", "result": {}}) == ()


def test_bytes_are_told_by_network_and_what_a_mirror_fetched_is_an_estimate():
    bars = Bars()
    for host in ("a", "b"):
        bars.take({**moved(host, "tiny:1b", "pulling x", 1000, 9000), "network": "lan"})
        bars.take({**moved(host, "tiny:1b", "pulling x", 5000, 9000), "network": "lan"})
    assert bars.traffic() == "WAN ≤ 4.0 kB, LAN 8.0 kB"
    bars.take({**moved("c", "tiny:1b", "pulling x", 0, 9000), "network": "wan"})
    bars.take({**moved("c", "tiny:1b", "pulling x", 9000, 9000), "network": "wan"})
    assert bars.traffic() == "WAN ≤ 13.0 kB, LAN 8.0 kB"


def test_a_full_screen_shows_what_goes_on():
    with Live() as live:
        live._room = 4
        for host in "bcdef":
            live(moved(host, "tiny:1b", "pulling x", 40, 100))
        live({"event": "changed", "host": "b", "task": TASK, "result": {"models": [{"name": "tiny:1b"}]}})
        live(moved("f", "tiny:1b", "pulling x", 50, 100))
        shown = {task.description.split()[0] for task in live._view.tasks if task.visible}
    assert shown == {"all", "c", "d", "e", "f"}


def test_a_terminal_gets_bars_and_a_pipe_gets_lines(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(choose("text"), Live)
    assert not isinstance(choose("json"), Live)
    with Live() as live:
        live(moved("a", "tiny:1b", "pulling x", 40, 100))
        live({"event": "changed", "host": "a", "task": TASK, "result": {"models": [{"name": "tiny:1b"}]}})
    assert "1 of 1 done" in capsys.readouterr().err
