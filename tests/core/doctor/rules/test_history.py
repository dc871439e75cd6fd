"""What a server's log tells of its course; recorded logs of a real server, and any text at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.rules.slow import history

RECORDED = Path(__file__).parents[3] / "cases" / "recorded"
SAMPLES = [s.sample for s in signatures.TABLE if s.where in {"history", "log"}]
START = 'time=2026-11-22T11:08:0{0}.000{2} msg="starting llama server" cmd="x --model /b/sha256-{1} --ctx-size 512"'


def recorded(name: str) -> history.History:
    return history.read((RECORDED / name).read_text())


def test_a_real_queue() -> None:
    found = recorded("queue-server.log")
    assert [(load.context, load.ended, load.seconds) for load in found.loads] == [(4096, "done", 0.52)]
    assert [row.status for row in found.served] == [503] * 6 + [200] * 2
    assert found.served[-1].seconds == pytest.approx(6.701455038)
    assert found.served[-1].client == "127.0.0.1"


def test_a_real_client_that_left() -> None:
    found = recorded("runner-killed-server.log")
    assert len(found.left) == 1
    assert found.loads[-1].ended == "failed"
    assert found.served[-1].status == 499


def test_a_real_slow_discovery() -> None:
    assert recorded("start-slow-discovery.log").discovery == pytest.approx(18.16)


def test_only_the_present_run_counts() -> None:
    log = (RECORDED / "queue-server.log").read_text()
    again = 'time=2026-11-22T12:00:00.000Z msg="Listening on 127.0.0.1:11434 (version 0.33.0)"'
    assert history.read(f"{log}\n{again}\n") == history.History()


def test_both_engines_tell_their_context() -> None:
    new, old = (START.format(n, n, "Z") for n in (1, 2))
    committed = next(s.sample for s in signatures.TABLE if s.id == "runner-committed")
    bare = 'msg="starting runner" cmd="/usr/bin/ollama runner --ollama-engine --model /b/sha256-a --port 40737"'
    found = history.read("\n".join([new, old, bare, committed]))
    assert [(load.model, load.context) for load in found.loads] == [
        ("sha256-1", 512),
        ("sha256-2", 512),
        ("sha256-a", 4096),
    ]
    assert [load.ended for load in found.loads] == ["failed", "failed", ""]


def test_the_zone_of_the_server() -> None:
    assert history.read(START.format(1, 1, "+05:30")).zone == 19800
    assert history.read(START.format(1, 1, "-08:00")).zone == -28800
    assert history.read(START.format(1, 1, "Z")).zone == 0


def test_a_load_is_shown_without_its_options() -> None:
    assert history.read(START.format(1, 1, "Z")).loads[0].shown == "11:08:01 starting --model sha256-1 context 512"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("73.5µs", 7.35e-05), ("4.389s", 4.389), ("5m1s", 301.0), ("1h2m3.5s", 3723.5), ("250ms", 0.25), ("soon", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert history.duration(text) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 300.0), ("24h", 86400.0), ("-1", None), ("-1m", None), ("90", 90.0), ("x", 300.0), ("²", 300.0)],
)
def test_keep_alives(text: str | None, seconds: float | None) -> None:
    assert history.kept(text) == seconds


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.sampled_from(SAMPLES)), max_size=12))
def test_any_log_is_read(lines: list[str]) -> None:
    found = history.read("\n".join(lines))
    assert all(load.ended in {"", "done", "failed"} and load.shown for load in found.loads)
    assert history.again(found.loads, None) == [] or len(found.loads) > 1
