"""The place of the models: who may pass and write there, what we set, and what is not ours to change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import Disk
from reaper_ops.core.facts.model_store import Place, PlacePart
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import desired_state
from reaper_ops.core.provision.plan import Plan

BASES = json.loads((Path(__file__).parents[2] / "cases" / "plan" / "bases.json").read_text())
ROOT, DATA = PlacePart("/", "0755", 0, 0, "root"), PlacePart("/data", "0755", 0, 0, "root")
WIDE = {"mount": "/data", "fstype": "ext4", "total": 1 << 40, "free": 1 << 39}


def plan(place: Place | None, path: str = "/data/models", **more: object) -> Plan:
    facts = replace(codec.load("case", BASES["debian13"]), models_place=place, **more)  # type: ignore[arg-type]
    return desired_state.derive(Settings(ollama_models_dir=path), facts).plan


def models(mode: str = "0755", uid: int = 0, owner: str = "root") -> tuple[PlacePart, ...]:
    return ROOT, DATA, PlacePart("/data/models", mode, uid, 0, owner)


def reason(found: Plan) -> str:
    return next((action.reason for action in found.actions if action.id == "ollama/models-dir"), "")


def test_an_empty_directory_of_roots_is_given_to_the_server_and_the_plan_says_so() -> None:
    found = plan(Place("/data/models", True, 0, models()))
    assert reason(found) == "is empty and root's, mode 0755; ollama's, 0755 is desired"
    assert not found.blockers


def test_a_directory_that_the_server_may_write_is_left_as_it_is() -> None:
    assert reason(plan(Place("/data/models", True, 12, models("0700", 998, "ollama"), uid=998))) == ""
    assert reason(plan(Place("/data/models", True, 0, models("0750", 5, "store"), uid=998, denied=()))) == ""
    assert plan(Place("/data/models", True, 12, models("0770"), uid=998, gids=(0,))).blockers == ()


def test_a_tree_of_somebody_else_is_not_changed_and_the_command_makes_the_user_first() -> None:
    found = plan(Place("/data/models", True, 3, models("0755", 1000, "alice")))
    assert reason(found) == ""
    (text,) = found.blockers
    assert "/data/models holds 3 entries and is alice's" in text
    assert "useradd --system" in text
    assert "&& sudo chown -R ollama: /data/models`" in text
    (text,) = plan(
        Place("/data/models", True, 3, models("0755", 1000, "alice"), uid=998), user_groups=("ollama",)
    ).blockers
    assert "`sudo chown -R ollama: /data/models`" in text


@pytest.mark.parametrize("denied", [None, ("/data",)])
def test_a_parent_that_the_server_cannot_pass_is_named_with_the_command(denied: tuple[str, ...] | None) -> None:
    steps = (ROOT, PlacePart("/data", "0700", 1000, 1000, "alice"))
    (text,) = plan(Place("/data/models", False, None, steps, 998, (998,), denied)).blockers
    assert "ollama cannot pass /data (mode 0700, alice's)" in text
    assert "`sudo chmod o+x /data`" in text


def test_what_was_tried_counts_more_than_the_mode() -> None:
    steps = (ROOT, PlacePart("/data", "0750", 1000, 1000, "alice"))
    assert not plan(Place("/data/models", False, None, steps, 998, (998,), ())).blockers


def test_below_a_home_only_the_directory_itself_counts_since_the_unit_binds_it() -> None:
    steps = (ROOT, PlacePart("/home", "0755", 0, 0, "root"), PlacePart("/home/alice", "0700", 1000, 1000, "alice"))
    assert not plan(Place("/home/alice/models", False, None, steps, 998), "/home/alice/models").blockers


def test_what_was_tried_from_outside_says_nothing_of_a_place_that_the_unit_binds() -> None:
    home = PlacePart("/home/alice", "0700", 1000, 1000, "alice")
    steps = (ROOT, home, PlacePart("/home/alice/models", "0755", 998, 998, "ollama"))
    place = Place("/home/alice/models", True, 2, steps, 998, (998,), ("/home/alice", "/home/alice/models"))
    found = plan(place, "/home/alice/models")
    assert (found.blockers, reason(found)) == ((), "")


def test_a_file_in_the_way_and_a_share_that_root_may_not_change_are_named() -> None:
    (text,) = plan(Place("/data/models", False, None, (ROOT, replace(DATA, directory=False)))).blockers
    assert "/data is no directory" in text
    (text,) = plan(Place("/data/models", False, None, (ROOT, DATA), root_may_write=False)).blockers
    assert "root_squash" in text


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"read_only": True}, "mounted read-only; mount it for writing: `sudo mount -o remount,rw /data`"),
        ({"free": 4096}, "is full: 4.1 kB are free"),
        ({"inodes_free": 0, "inodes_total": 9}, "no inode left"),
    ],
)
def test_a_file_system_that_cannot_take_the_models_stops_the_run(change: dict[str, int], part: str) -> None:
    disk = Disk("/data/models", **{**WIDE, **change})  # type: ignore[arg-type]
    facts = codec.load("case", BASES["debian13"])
    (text,) = plan(None, disks={**facts.disks, "/data/models": disk}).blockers
    assert part in text


def test_noexec_matters_to_the_release_and_not_to_the_models() -> None:
    disks = codec.load("case", BASES["debian13"]).disks
    models_only = {**disks, "/data/models": Disk("/data/models", noexec=True, **WIDE)}  # type: ignore[arg-type]
    assert not plan(None, disks=models_only).blockers
    opt = {**disks, "/opt/ollama/0.35.1": Disk("/opt", noexec=True, **{**WIDE, "mount": "/opt"})}  # type: ignore[arg-type]
    (text,) = plan(None, disks=opt).blockers
    assert "`sudo mount -o remount,exec /opt`" in text
