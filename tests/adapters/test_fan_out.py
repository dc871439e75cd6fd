"""Threads: results in order, as many at once as asked, and an end when one is wanted."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from reaper_ops.adapters import fan_out
from reaper_ops.adapters.fan_out import Halt

PACKAGE = Path(fan_out.__file__).parents[1]


def test_results_come_in_the_order_of_the_items():
    def slow_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * 10

    assert fan_out.each(range(5), slow_first, at_once=5) == [0, 10, 20, 30, 40]
    assert fan_out.each([], slow_first, at_once=5) == []


def test_never_more_at_once_than_asked():
    mutex, inside, most = threading.Lock(), [0], [0]

    def work(item: int) -> None:
        with mutex:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        with mutex:
            inside[0] -= 1

    fan_out.each(range(12), work, at_once=3)
    assert most[0] == 3


def test_an_exception_ends_the_others_and_is_raised_here():
    halt, begun = Halt(), []

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise LookupError("no")
        halt.wait(20)

    started = time.monotonic()
    with pytest.raises(LookupError, match="no"):
        fan_out.each(range(50), work, at_once=2, halt=halt)
    assert time.monotonic() - started < 15
    assert begun == [0, 1]


def test_ctrl_c_is_raised_at_once_when_all_have_noticed():
    halt, noticed, all_here = Halt(), [], threading.Barrier(3)

    def work(item: int) -> None:
        if all_here.wait(60) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        noticed.append(halt.wait(20))

    with pytest.raises(KeyboardInterrupt):
        fan_out.each(range(9), work, at_once=3, halt=halt)
    assert noticed == [True] * 3


def test_who_does_not_notice_is_waited_for_no_longer_than_asked():
    forever = threading.Event()

    def work(item: int) -> None:
        if item == 0:
            raise LookupError("no")
        forever.wait(60)

    started = time.monotonic()
    with pytest.raises(LookupError):
        fan_out.each(range(2), work, at_once=2, patience=0.3)
    assert time.monotonic() - started < 30
    forever.set()


SERVERS = {"adapters/fan_out.py", "adapters/manifests.py", "adapters/web.py"}
"""The door; a server of this machine; a timer. The lab is programs of their own."""


def test_there_is_one_door_to_threads():
    starts = re.compile(r"\bThread\(|\bThreadPoolExecutor\(|\bTimer\(|\bcreate_task\(|asyncio\.run\(")
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if starts.search(path.read_text()) and path.relative_to(PACKAGE).parts[0] != "lab"
    }
    assert found == SERVERS
