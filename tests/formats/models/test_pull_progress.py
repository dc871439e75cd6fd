"""The bars of a pull: what the events tell, in the words of the stages."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from reaper_ops.formats.models.pull_progress import TASK, Bars, PullLive, choose, stage


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
        ("waiting 2 s after: EOF", "waiting to try again"),
        ("done", "done"),
        ("failed: no space\nleft", "failed: no space left"),
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
    assert bars.rows["a", "tiny:1b"].stage == "ended"
    models = [{"name": "tiny:1b", "error": "no space\nleft on device"}]
    assert bars.take({"event": "failed", "host": "b", "task": TASK, "result": {"models": models}}) == (
        ("b", "tiny:1b"),
    )
    assert bars.rows["b", "tiny:1b"].stage == "failed: no space left on device"
    assert bars.rows["b", "tiny:1b"].completed == 25
    assert bars.take({"event": "ok", "host": "b", "task": "other", "result": {}}) == ()


def test_what_is_wanted_waits_and_a_failure_stays_one_when_the_next_model_begins():
    bars = Bars()
    wanted = {"a": {"tiny:1b": 100, "small:1b": 50}, "b": {"tiny:1b": 100}}
    assert len(bars.take({"event": "wanted", "hosts": wanted})) == 3
    assert {bar.stage for bar in bars.rows.values()} == {"waiting"}
    assert (bars.completed, bars.total) == (0, 250)
    bars.take(moved("a", "tiny:1b", "failed: digest mismatch", 100, 100))
    assert bars.take(moved("a", "small:1b", "pulling y", 10, 50)) == (("a", "small:1b"),)
    assert bars.rows["a", "tiny:1b"].stage == "failed: digest mismatch"
    assert bars.rows["b", "tiny:1b"].stage == "waiting"
    bars.take({"event": "wanted", "hosts": {"c": {"tiny:1b": 100, "small:1b": 50, "big:1b": 9}}})
    bars.take(moved("c", "small:1b", "pulling y", 10, 50))
    assert [bar.stage for (host, _), bar in bars.rows.items() if host == "c"] == ["ended", "fetching", "waiting"]


def test_of_more_than_the_screen_holds_those_that_wait_are_not_shown():
    with PullLive() as live:
        live._room = 4
        live({"event": "wanted", "hosts": {host: {"tiny:1b": 100} for host in "bcdef"}})
        live(moved("f", "tiny:1b", "pulling x", 50, 100))
        shown = {task.description.split()[0] for task in live._view.tasks if task.visible}
    assert shown == {"all", "f"}


def test_a_narrow_screen_cuts_names_and_reasons_but_no_numbers():
    live, said = PullLive(), Console(width=80, file=io.StringIO())
    live(moved("gpu1.example.org", "registry.lan:5000/team/assistant:1", "pulling x", 1_500_000_000, 40_000_000_000))
    models = [{"name": "x:1", "error": "[Errno 28] no space left on device"}]
    live({"event": "failed", "host": "b", "task": TASK, "result": {"models": models}})
    said.print(live._view.get_renderable())
    _, one, other, last = said.file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in (one, other, last))
    assert one.startswith("gpu1.example.org")
    assert "1.5/40.0 GB" in one
    assert "-:--:--" in one
    assert "failed: [" in other
    assert last.startswith("1 of 2 done, WAN")


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
    with PullLive() as live:
        live._room = 4
        for host in "bcdef":
            live(moved(host, "tiny:1b", "pulling x", 40, 100))
        live({"event": "changed", "host": "b", "task": TASK, "result": {"models": [{"name": "tiny:1b"}]}})
        live(moved("f", "tiny:1b", "pulling x", 50, 100))
        shown = {task.description.split()[0] for task in live._view.tasks if task.visible}
    assert shown == {"all", "c", "d", "e", "f"}


def test_a_terminal_gets_bars_and_a_pipe_gets_lines(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(choose("text"), PullLive)
    assert not isinstance(choose("json"), PullLive)
    with PullLive() as live:
        live(moved("a", "tiny:1b", "pulling x", 40, 100))
        live({"event": "changed", "host": "a", "task": TASK, "result": {"models": [{"name": "tiny:1b"}]}})
    assert "1 of 1 done" in capsys.readouterr().err
