"""Hours of a pull: over midnight, at their edges, and as they are told."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reaper_ops.core.models import maintenance_window as window
from reaper_ops.errors import ReaperError

NIGHT = window.parse("22:00-06:00")


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-10T{text}")


@pytest.mark.parametrize(
    ("text", "now", "is_open"),
    [
        ("22:00-06:00", "21:59:59", False),
        ("22:00-06:00", "22:00:00", True),
        ("22:00-06:00", "00:00:00", True),
        ("22:00-06:00", "05:59:59", True),
        ("22:00-06:00", "06:00:00", False),
        ("9:30-17:00", "09:29:59", False),
        ("9:30-17:00", "09:30:00", True),
        ("9:30-17:00", "17:00:00", False),
    ],
)
def test_a_window_is_open_from_its_start_to_before_its_end(text: str, now: str, is_open: bool) -> None:
    assert window.parse(text).is_open(at(now)) is is_open


@pytest.mark.parametrize("text", ["", "22-6", "22:00-24:00", "22:00 - 06:00", "22:00-22:00", "x", "22:60-06:00"])
def test_what_is_no_window_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ReaperError, match="22:00-06:00") as told:
        window.parse(text)
    assert told.value.exit_code == 2


def test_what_people_are_told() -> None:
    said = window.waiting(NIGHT, at("18:40:30"), "CET (UTC+0100)")
    assert said.startswith("waiting for the window 22:00-06:00 until 22:00 CET (UTC+0100), the zone of this machine")
    assert said.endswith("that is 3 h 20 min")
    assert window.over(NIGHT, "CET").exit_code == 4
    assert "the same command goes on in the next window" in str(window.over(NIGHT, "CET"))


@given(st.times(), st.times(), st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)))
def test_it_opens_and_closes_within_a_day_and_only_there(start, end, now) -> None:
    found = window.Window(start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0))
    if found.start == found.end:
        return
    for edge in (found.opens(now), found.closes(now)):
        assert timedelta() < edge - now <= timedelta(days=1)
    assert found.is_open(found.opens(now))
    assert not found.is_open(found.closes(now))
    assert found.is_open(now) == (found.closes(now) < found.opens(now))
