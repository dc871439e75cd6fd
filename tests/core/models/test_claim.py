"""Who of two controllers goes on, by the host's own clock; what is void; what a claim is called."""

from __future__ import annotations

import json

import pytest

from reaper_ops import assets
from reaper_ops.core.models import lease as claim
from reaper_ops.core.models import pull_steps as rules
from reaper_ops.core.models.lease import Me


class Store:
    """A server's list with a clock of its own."""

    def __init__(self):
        self.rows, self.now = {}, 1000

    def __call__(self, step):
        if isinstance(step, claim.Renew):
            return None
        if step.path == "/api/create":
            self.now += 1
            stamp = f"2026-01-01T{self.now // 3600:02}:{self.now // 60 % 60:02}:{self.now % 60:02}.5Z"
            self.rows[step.body["model"]] = {"modified_at": stamp, "remote_model": step.body["from"]}
        elif step.path == "/api/delete":
            self.rows.pop(step.body["model"], None)
        rows = [{"name": name, **row} for name, row in self.rows.items()]
        return rules.Answer(200, json.dumps({"models": rows}))


def advance(steps, store, count):
    """So many steps of one controller, while others do theirs between."""
    step = next(steps)
    for _ in range(count):
        step = steps.send(store(step))
    return step


def finish(steps, store, step):
    try:
        while True:
            step = steps.send(store(step))
    except StopIteration as end:
        return end.value


def test_of_two_that_come_together_the_first_by_the_hosts_clock_goes_on():
    store, notes = Store(), []
    first, second = (claim.take("http://h", Me(owner, "1-a"), notes) for owner in ("ann@a", "ben@b"))
    one, two = advance(first, store, 1), advance(second, store, 1)
    with pytest.raises(rules.Trouble, match="another pull runs on this host, by ann-a for"):
        finish(second, store, two)
    assert finish(first, store, one) is True
    assert list(store.rows) == [f"{claim.FAMILY}:ann-a.1-a"]


def test_a_renewed_claim_keeps_its_place():
    store, notes = Store(), []
    first = claim.take("http://h", Me("ann@a", "1-a"), notes)
    renew = advance(first, store, 2)
    store.now += 60
    store(renew.ask)
    with pytest.raises(rules.Trouble, match="by ann-a for 6"):
        take(store, "ben@b")


def take(store, owner, gone=lambda tag: False):
    steps = claim.take("http://h", Me(owner, "2-b", gone), [])
    return finish(steps, store, next(steps))


def test_what_is_not_renewed_is_void_and_what_is_known_to_have_ended_at_once():
    store = Store()
    assert take(store, "ann@a")
    assert take(store, "ben@b", gone=lambda tag: tag.startswith("ann-a."))
    assert list(store.rows) == [f"{claim.FAMILY}:ben-b.2-b"]
    store.now += claim.LEASE + 5
    assert take(store, "cem@c")
    assert list(store.rows) == [f"{claim.FAMILY}:cem-c.2-b"]


def test_a_server_without_such_stubs_is_noted_and_used():
    notes = []
    steps = claim.take("http://h", Me("ann@a", "1-a"), notes)
    next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send(rules.Answer(400, '{"error":"no"}'))
    assert end.value.value is False
    assert notes == ["no lock against another controller: the server says 400: no"]


@pytest.mark.parametrize(
    ("stamp", "found"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00:01.000000001Z", 10**9 + 1),
        ("1970-01-01T01:00:01.5+01:00", 15 * 10**8),
        ("yesterday", 0),
    ],
)
def test_times_as_go_writes_them(stamp, found):
    assert claim.nanoseconds(stamp) == found


@pytest.mark.parametrize(("owner", "said"), [("root@gpu.example", "root-gpu-example"), ("@@", "unknown")])
def test_an_owner_is_part_of_a_name(owner, said):
    assert claim.slug(owner) == said
    assert claim.is_claim(Me(owner, "1-a").name)


def test_who_waits_on_the_host_sees_locks_that_are_not_void():
    rows = [
        {"name": f"{claim.FAMILY}:ann-a.1-a", "modified_at": "2026-01-01T00:00:10.5Z"},
        {"name": f"{claim.FAMILY}:ben-b.2-b", "modified_at": "2026-01-01T01:01:40+01:00"},
        {"name": "llama3:latest", "modified_at": "2026-01-01T00:01:40Z"},
    ]
    now = claim.nanoseconds("2026-01-01T00:01:41Z") // claim.SECOND
    assert list(assets.shared("reaper_claims").held(rows, now)) == [f"{claim.FAMILY}:ben-b.2-b"]
