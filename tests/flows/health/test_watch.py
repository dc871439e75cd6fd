from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from reaper_ops.core.health.report import HostReport, Report, State
from reaper_ops.errors import CommandError, ReaperError
from reaper_ops.flows.health import watch

WELL, SICK = HostReport("a", State.HEALTHY), HostReport("a", State.TIMEOUT)


def looks(*rounds: HostReport | ReaperError) -> Callable[[], Report]:
    waiting = list(rounds)

    def look() -> Report:
        now = waiting.pop(0)
        if isinstance(now, ReaperError):
            raise now
        return Report("probe", (now,))

    return look


def rounds(*found: HostReport | ReaperError) -> Sequence[watch.Round]:
    ticks = iter(range(100))
    return list(
        watch.watch(looks(*found), 5, rounds=len(found), sleep=lambda _: None, clock=lambda: float(next(ticks)))
    )


def test_changes_of_state_are_counted_and_the_first_sight_is_none() -> None:
    found = rounds(WELL, WELL, SICK, WELL)
    assert [len(now.changes) for now in found] == [1, 0, 1, 1]
    assert dict(found[-1].tally.changes) == {"a": 2}
    assert (found[-1].tally.rounds, found[-1].tally.failures, found[-1].tally.seconds) == (4, 0, 1.0)


def test_a_broken_round_is_told_and_the_last_report_stays() -> None:
    found = rounds(WELL, CommandError("ansible", "was killed", "look there"), SICK)
    assert [now.problem for now in found] == ["", "ansible: was killed; look there", ""]
    assert found[1].report is found[0].report
    assert found[1].changes == ()
    assert [now.tally.failures for now in found] == [0, 1, 1]


def test_a_watch_that_cannot_begin_ends() -> None:
    with pytest.raises(CommandError, match="no such program"):
        rounds(CommandError("ansible", "no such program"))
