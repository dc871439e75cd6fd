"""Two controllers that bring the same model at once: whatever their order, both end with the lock's digest."""

from __future__ import annotations

import json
import random

import pytest

from reaper_ops.core.models import pull_steps as rules

NAME, OLD, NEW = "big:1", "0" * 64, "d" * 64
BLOB = "sha256:" + "a" * 64
LEASE = "reaper-ops/lock:ann-elsewhere.77-ab"


class Server:
    """A server's list; a pull is done in two steps of its own, as others go on meanwhile."""

    def __init__(self, **models: str) -> None:
        self.models = {name.replace("__", ":"): digest for name, digest in models.items()}
        self.refused: list[str] = []

    def answer(self, step: rules.Ask) -> rules.Answer:
        body = step.body if isinstance(step.body, dict) else {}
        if step.path == "/api/copy":
            if body["source"] not in self.models:
                return self.refuse(body["source"])
            self.models[body["destination"]] = self.models[body["source"]]
        elif step.path == "/api/delete" and self.models.pop(body["model"], None) is None:
            return self.refuse(body["model"])
        rows = [{"name": name, "digest": digest} for name, digest in self.models.items()]
        return rules.Answer(200, json.dumps({"models": rows}))

    def refuse(self, name: str) -> rules.Answer:
        self.refused.append(name)
        return rules.Answer(404, json.dumps({"error": f"model '{name}' not found"}))

    def do(self, step: rules.Step) -> object:
        if isinstance(step, rules.Ask):
            return self.answer(step)
        if isinstance(step, rules.Pull):
            self.models[step.name] = NEW
            return ""
        return {rules.Look: (NEW, {BLOB: 9}), rules.Room: {}, rules.Now: 0.0}.get(type(step))


class Controller:
    def __init__(self, server: Server, source: str) -> None:
        params = {"url": "http://h", "models": [NAME], "again": False, "sources": {NAME: source}, "retries": 0}
        params |= {"locked": {NAME: {"digest": f"sha256:{NEW}", "blobs": {BLOB: 9}}}, "insecure_registries": []}
        self.rows: list[rules.Row] = []
        self.server, self.steps = server, rules.bring(params, self.rows)
        self.step, self.over = next(self.steps), False

    def advance(self) -> None:
        try:
            self.step = self.steps.send(self.server.do(self.step))
        except StopIteration:
            self.over = True


@pytest.mark.parametrize("source", ["mirror:80/library/big:1", NAME])
@pytest.mark.parametrize("before", [{}, {"big__1": OLD}], ids=["missing", "another version"])
def test_in_any_order_both_end_with_the_lock_and_nothing_else_is_left(source: str, before: dict[str, str]) -> None:
    refused = 0
    for seed in range(300):
        chance, server = random.Random(seed), Server(**before)
        both, ahead = [Controller(server, source) for _ in range(2)], chance.randrange(16)
        for _ in range(ahead):
            both[0].over or both[0].advance()
        while going := [one for one in both if not one.over]:
            chance.choice(going).advance()
        assert server.models == {NAME: NEW}, seed
        for one in both:
            assert [(row["error"], row["digest"]) for row in one.rows] == [("", NEW)], seed
        refused += len(server.refused)
    assert (refused > 0) is (source != NAME), "some orders take a name away under the other"


def test_a_name_that_cannot_be_given_is_an_error_as_long_as_the_model_is_not_there() -> None:
    server = Server()
    one = Controller(server, "mirror:80/library/big:1")
    while not one.over:
        if isinstance(one.step, rules.Ask) and one.step.path == "/api/copy":
            server.models.clear()
        one.advance()
    assert "not found" in one.rows[0]["error"]
    assert server.models == {}


def test_a_lease_of_an_earlier_version_is_taken_away_and_no_other_model() -> None:
    server = Server(**{NAME: NEW, LEASE: OLD, "reaper-ops/locksmith:1": OLD})
    one = Controller(server, NAME)
    while not one.over:
        one.advance()
    assert sorted(server.models) == [NAME, "reaper-ops/locksmith:1"]
    assert [(row["name"], row["changed"]) for row in one.rows] == [(NAME, False)]


def test_a_lease_that_cannot_be_removed_stops_no_pull() -> None:
    server = Server(**{LEASE: OLD})
    one = Controller(server, NAME)
    while not one.over:
        if isinstance(one.step, rules.Ask) and one.step.path == "/api/delete":
            one.step = one.step._replace(path="/api/nothing", method="GET", body=None)
            one.step = one.steps.send(rules.Answer(500, "no"))
            continue
        one.advance()
    assert server.models == {LEASE: OLD, NAME: NEW}
