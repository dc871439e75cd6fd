"""`models pull`: every host ends with the bytes of the lock, and one that cannot stops no other."""

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


def test_every_host_gets_the_bytes_of_the_lock_by_the_mirror(two, capfd):
    inventory = two.write("tiny", "small", **two.mirror())
    assert run(["models", "lock", "-i", inventory]) == 0
    code, found = answer(capfd, "pull", "-i", inventory, "--via", "host")
    assert code == 3
    assert list(found["problems"]) == ["silent"]
    assert "cannot be reached or is not Ollama" in found["problems"]["silent"]
    assert two.listed("one") == two.listed("two") == two.promised()
    assert {(row["host"], row["changed"], row["error"]) for row in found["models"]} == {
        ("one", True, ""),
        ("two", True, ""),
    }
    assert found["notes"] == []
    record = json.loads((two.root / "homes/one/reaper_ops/pulls.json").read_text())
    assert {name: row["digest"] for name, row in record.items()} == two.promised()
    served = two.registry.bytes_sent
    assert run(["models", "pull", "-i", inventory, "-l", "one,two"]) == 0
    said = capfd.readouterr().out
    assert "2 of 2 hosts are as asked; 0 models pulled" in said
    assert two.registry.bytes_sent == served


def test_a_tag_that_moved_is_said_and_update_lets_hosts_follow(two, capfd):
    inventory = two.write("tiny")
    run(["models", "lock", "-i", inventory])
    two.move("tiny")
    code, found = answer(capfd, "pull", "-i", inventory, "-l", "one", "--strategy", "direct")
    assert code == 3
    assert "differs from the lock" in found["models"][0]["error"]
    assert "models update" in found["models"][0]["next_step"]
    assert two.listed("one") == {}
    assert run(["models", "update", "-i", inventory]) == 0
    assert answer(capfd, "pull", "-i", inventory, "-l", "one")[0] == 0
    assert two.listed("one") == two.promised()


def test_without_a_lock_the_pull_says_so_and_mistakes_are_told_before_hosts_are_touched(two, capfd):
    inventory = two.write("tiny")
    code, found = answer(capfd, "pull", "-i", inventory, "-l", "one")
    assert code == 0
    assert "models are as their tags are now" in found["notes"][0]
    run(["models", "lock", "-i", inventory])
    two.write("tiny", "small")
    capfd.readouterr()
    assert run(["models", "pull", "-i", inventory]) == 2
    assert "does not hold" in capfd.readouterr().err
    assert run(["models", "pull", "-i", inventory, "--strategy", "mirror"]) == 2
    assert run(["models", "pull", "-i", inventory, "mistral"]) == 2
    assert "no host wants this" in capfd.readouterr().err
    assert list(two.listed("one")) == [two.name("tiny")]


def test_a_copy_over_the_internet_for_each_host_is_said_unless_it_was_asked_for(two, capfd):
    inventory = two.write("tiny")
    run(["models", "lock", "-i", inventory])
    code, found = answer(capfd, "pull", "-i", inventory, "-l", "one,two")
    assert code == 0
    assert found["notes"][0].startswith("2 hosts pulled from the registries, each by itself: a site mirror")
    run(["models", "rm", "-i", inventory, "-l", "one,two", "--yes", two.name("tiny")])
    code, found = answer(capfd, "pull", "-i", inventory, "-l", "one,two", "--strategy", "direct")
    assert (code, [row["changed"] for row in found["models"]]) == (0, [True, True])
    assert not any("each by itself" in note for note in found["notes"])
