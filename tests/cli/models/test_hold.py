"""`models list`, `ps`, `plan`, `rm`, `prune` and `preload` on simulated servers."""

from __future__ import annotations

import json

import pytest
from models_fleet import fleet

from reaper_ops.cli.program import run


@pytest.fixture
def two(tmp_path):
    with fleet(tmp_path, "one", "two") as found:
        yield found


def answer(capfd, *argv):
    capfd.readouterr()
    code = run(["models", *argv, "-o", "json"])
    return code, json.loads(capfd.readouterr().out)


def states(found):
    return {
        (row["name"].rpartition("/")[2], host): cell["state"]
        for row in found["models"]
        for host, cell in row["hosts"].items()
    }


def test_what_is_missing_drifted_or_extra_is_listed_and_planned(two, capfd):
    inventory = two.write("tiny", "small", **two.mirror())
    run(["models", "lock", "-i", inventory])
    two.servers["one"].subject.pull(two.name("small"))
    two.servers["two"].subject.pull(two.name("tiny"))
    two.servers["two"].subject.ask("POST", "/api/copy", {"source": two.name("tiny"), "destination": two.name("small")})
    two.servers["two"].subject.ask("POST", "/api/copy", {"source": two.name("tiny"), "destination": "mine:1b"})
    code, found = answer(capfd, "list", "-i", inventory)
    assert code == 3
    assert states(found) == {
        ("small:latest", "one"): "ok",
        ("tiny:latest", "one"): "missing",
        ("small:latest", "two"): "drift",
        ("tiny:latest", "two"): "ok",
        ("mine:1b", "two"): "extra",
        ("small:latest", "silent"): "unknown",
        ("tiny:latest", "silent"): "unknown",
    }
    assert list(found["problems"]) == ["silent"]
    assert run(["models", "list", "-i", inventory]) == 3
    text = capfd.readouterr().out
    assert text.splitlines()[0].split() == ["model", "size", "digest", "one", "two", "silent"]
    assert f"drift {two.promised()[two.name('tiny')][:12]}" in text
    code, found = answer(capfd, "plan", "-i", inventory, "-l", "one,two")
    assert code == 0
    sizes = {name: entry["size"] for name, entry in json.loads(two.lock.read_text())["models"].items()}
    plans = {row["host"]: {item["name"]: item for item in row["items"]} for row in found["hosts"]}
    assert {host: row[two.name("tiny")]["state"] for host, row in plans.items()} == {"one": "fetch", "two": "there"}
    assert {host: row[two.name("small")]["state"] for host, row in plans.items()} == {"one": "there", "two": "replace"}
    assert 0 < plans["one"][two.name("tiny")]["bytes"] <= sizes[two.name("tiny")]
    assert 0 < plans["two"][two.name("small")]["bytes"] <= sizes[two.name("small")]
    assert found["lan_bytes"] == sum(row["bytes"] for row in found["hosts"])
    served = two.registry.bytes_sent
    assert run(["models", "pull", "-i", inventory, "-l", "one,two"]) == 0
    assert two.registry.bytes_sent - served == found["lan_bytes"]
    assert {**two.promised(), "mine:1b": two.promised()[two.name("tiny")]} == two.listed("two")
    assert answer(capfd, "list", "-i", inventory, "-l", "one,two")[0] == 0


def test_prune_takes_only_what_we_pulled_and_nobody_wants_and_shows_it_first(two, capfd):
    run(["models", "pull", "-i", two.write("tiny", "small"), "-l", "one,two", "--via", "host"])
    two.servers["one"].subject.ask("POST", "/api/copy", {"source": two.name("tiny"), "destination": "mine:1b"})
    two.servers["two"].subject.ask("POST", "/api/copy", {"source": two.name("tiny"), "destination": two.name("small")})
    inventory = two.write("tiny")
    before = two.listed("one"), two.listed("two")
    capfd.readouterr()
    assert run(["models", "prune", "-i", inventory, "-l", "one,two", "--check"]) == 0
    said = capfd.readouterr()
    assert said.err.splitlines() == [f"one: remove {two.name('small')}"]
    assert (two.listed("one"), two.listed("two")) == before
    assert run(["models", "prune", "-i", inventory, "-l", "one,two"]) == 2
    assert "standard input is not a terminal" in capfd.readouterr().err
    code, found = answer(capfd, "prune", "-i", inventory, "-l", "one,two", "--yes")
    assert code == 0
    assert [(row["host"], row["name"], row["changed"]) for row in found["models"]] == [("one", two.name("small"), True)]
    assert sorted(two.listed("one")) == sorted([two.name("tiny"), "mine:1b"])
    assert two.listed("two") == before[1]
    assert two.name("small") not in json.loads((two.root / "homes/one/reaper_ops/pulls.json").read_text())
    code, found = answer(capfd, "prune", "-i", inventory, "-l", "one,two", "--yes")
    assert (code, found["models"], found["notes"]) == (0, [], ["nothing to remove"])
    assert run(["models", "prune", "-i", inventory, "--yes"]) == 3
    assert capfd.readouterr().out.splitlines()[-1] == "nothing to remove"


def test_a_preloaded_model_is_in_memory_until_it_is_removed(two, capfd):
    inventory = two.write("tiny")
    run(["models", "pull", "-i", inventory, "-l", "one"])
    code, found = answer(capfd, "preload", "-i", inventory, "-l", "one,two", two.name("tiny"))
    assert code == 3
    assert [(row["host"], row["changed"], row["error"]) for row in found["models"]] == [
        ("one", True, ""),
        ("two", False, f"{two.name('tiny')} is not on the host"),
    ]
    code, found = answer(capfd, "ps", "-i", inventory, "-l", "one")
    assert (code, [(row["host"], row["name"]) for row in found["models"]]) == (0, [("one", two.name("tiny"))])
    assert found["problems"] == {}
    assert list(answer(capfd, "ps", "-i", inventory, "-l", "silent")[1]["problems"]) == ["silent"]
    assert run(["models", "ps", "-i", inventory, "-l", "one"]) == 0
    assert "forever" in capfd.readouterr().out
    code, found = answer(capfd, "rm", "-i", inventory, "-l", "one,two", "--yes", two.name("tiny"))
    assert (code, [(row["host"], row["changed"]) for row in found["models"]]) == (0, [("one", True)])
    assert two.listed("one") == {}
