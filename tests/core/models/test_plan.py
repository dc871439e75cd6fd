"""What a pull would fetch: bytes over the WAN and LAN, room, time; for hosts that differ."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from reaper_ops.core import facts
from reaper_ops.core.facts.model import Facts, Fetched, System
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import memory_headroom as room
from reaper_ops.core.models import model_inventory, plan, table
from reaper_ops.core.models.lock import Layer, Lock, Locked
from reaper_ops.core.models.model_inventory import HeldModel, Holding
from reaper_ops.core.models.strategy import DIRECT, named
from reaper_ops.formats.models import plan as model_plan
from reaper_ops.formats.models import table as model_table


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


def locked(name: str, letter: str, *layers: tuple[str, int]) -> Locked:
    blobs = tuple(Layer(digest(one), size, "m") for one, size in layers)
    return Locked(f"registry.ollama.ai/library/{name}:latest", digest(letter), "m", blobs, "u", "t")


LOCK = Lock((locked("big", "a", ("1", 40_000_000_000), ("2", 10)), locked("cousin", "b", ("2", 10), ("3", 500))))


def host(name: str, **more: object) -> Holding:
    mirror = more.pop("mirror", None)
    settings = Settings.model_validate({"ollama_models": ["big", "cousin"], "ollama_mirror": mirror})
    return Holding(name, settings, **{"models": (), "blobs": frozenset(), **more})  # type: ignore[arg-type]


def captured(name: str) -> Facts:
    case = json.loads((Path(__file__).parents[1] / "facts/cases" / f"{name}.json").read_text())
    return facts.parse("gpu1", Settings(**case["settings"]), case["answers"])


def test_a_mirror_fetches_each_blob_once_and_shared_blobs_count_once():
    hosts = [host(f"gpu{number}", mirror="http://models.lan") for number in range(8)]
    found = plan.plan(hosts, LOCK, {})
    assert (found.wan, found.lan) == (40_000_000_510, 8 * 40_000_000_510)
    assert found.once == found.wan
    assert "several times" not in model_plan.as_text(found)
    found = plan.plan(hosts, LOCK, {}, strategy=DIRECT)
    assert (found.wan, found.once) == (8 * 40_000_000_510, 40_000_000_510)
    assert "the same bytes cross the WAN several times; a site mirror" in model_plan.as_text(found)


def test_a_swarm_and_a_push_fetch_each_blob_once_without_a_mirror():
    for strategy, giver in (("swarm", "from the swarm"), ("push", "from this machine")):
        found = plan.plan([host("gpu1"), host("gpu2")], LOCK, {}, strategy=named(strategy))
        assert (found.wan, found.lan) == (40_000_000_510, 2 * 40_000_000_510)
        assert f"fetch    big: is not there, 40.0 GB {giver}" in model_plan.as_text(found).replace(":latest", "")


def test_what_lies_in_the_store_is_not_fetched_again():
    there = HeldModel("big:latest", "a" * 64, 40_000_000_010)
    blobs = frozenset({f"sha256-{'1' * 64}", f"sha256-{'2' * 64}"})
    [one] = plan.plan([host("gpu1", models=(there,), blobs=blobs)], LOCK, {}).hosts
    assert [(item.state, item.bytes) for item in one.items] == [("there", 0), ("fetch", 500)]


def test_a_migrated_model_is_there_and_as_locked():
    there = HeldModel("big:latest", "f" * 64, 40_000_000_010, frozenset({"a" * 64}))
    gpu1, gpu2 = host("gpu1", models=(there,)), host("gpu2", models=(HeldModel("big:latest", "f" * 64, 1),))
    found = plan.plan([gpu1, gpu2], LOCK, {}).hosts
    assert [(item.state, item.bytes) for one in found for item in one.items if item.name.startswith("big")] == [
        ("there", 0),
        ("replace", 40_000_000_010),
    ]
    listed = table.table([gpu1, gpu2], LOCK, {})
    cells = next(line for line in listed.lines if "big" in line.name).cells
    assert [(cells[name].state, cells[name].migrated) for name in ("gpu1", "gpu2")] == [("ok", True), ("drift", False)]
    assert "ok (migrated)" in model_table.as_text(listed)


def test_room_for_what_a_server_of_0_40_rewrites_is_told():
    media = "application/vnd.ollama.image."
    layers = (Layer(digest("1"), 40_000_000_000, media + "model"), Layer(digest("2"), 400, media + "template"))
    big = Locked("registry.ollama.ai/library/big:latest", digest("a"), "m", layers, "u", "t")
    lora = replace(big, layers=(*layers, Layer(digest("3"), 7, media + "adapter")))
    needed = 50_000_000_000 + 512 * 1024 * 1024

    def item(version: str, locked: Locked = big, **more: object):
        one = host("gpu1", **more)
        settings = Settings.model_validate({"ollama_models": ["big"], "ollama_version": version})
        found = plan.plan([replace(one, settings=settings)], Lock((locked,)), {})
        return found.hosts[0].items[0].rewrite, model_plan.as_text(found)

    rewrite, text = item("0.40.2", free=100_000_000_000)
    assert rewrite == needed
    assert "rewrite  big:latest: its server may rewrite it at the first chat, with up to 50.5 GB more on disk\n" in text
    assert "it is left as it is, as there is less free" in item("0.40.2", free=85_000_000_000)[1]
    assert item("0.40.0")[0] == needed
    assert item("0.35.1")[0] == item("0.40.2", lora)[0] == 0
    assert "rewrite" not in item("0.35.1")[1]
    done = HeldModel("big:latest", "f" * 64, 9, frozenset({"a" * 64}))
    assert item("0.40.2", models=(done,))[0] == 0
    assert item("0.40.2", models=(HeldModel("big:latest", "a" * 64, 9),))[0] == needed


def test_what_we_pulled_stays_ours_after_its_migration():
    mine = HeldModel("old:latest", "f" * 64, 9, frozenset({"c" * 64}))
    pulled = {"registry.ollama.ai/library/old:latest": Fetched("c" * 64)}
    assert host("gpu1", models=(mine,), pulled=pulled).ours() == (mine,)
    assert host("gpu1", models=(HeldModel("old:latest", "f" * 64, 9),), pulled=pulled).ours() == ()


def test_what_a_host_says_of_its_store_reaches_the_models_that_it_lists():
    tags = json.dumps({"models": [{"name": "big:latest", "digest": "f" * 64, "size": 9}]})
    answers = {
        "api": {"exchanges": [{"path": "/api/tags", "phase": "done", "status": 200, "body": tags}]},
        "identities": {"found": True, "rc": 0, "stdout": f"sha256:{'f' * 64} sha256:{'a' * 64} sha256:{'e' * 64}\n"},
    }
    found = facts.parse("gpu1", Settings(), answers)
    assert found.identities == {"f" * 64: frozenset({"a" * 64, "e" * 64})}
    [held] = model_inventory.of(Settings(), found, "/m").models or ()
    assert held.has_digest("sha256:" + "a" * 64)
    assert not held.has_digest("sha256:" + "b" * 64)


def test_too_little_room_and_the_time_at_the_measured_rate_are_said():
    rate = {"x": Fetched("f", 100_000_000, 1.0)}
    found = plan.plan([host("gpu1", free=40_500_000_000, pulled=rate)], LOCK, {"gpu2": "cannot be reached: no route"})
    text = model_plan.as_text(found)
    assert "about 7 min at the rate of its last pulls" in text
    assert "error: too little room" in text
    assert "gpu2: cannot be reached: no route" in text
    assert found.exit_code == 3
    unknown = model_plan.as_text(plan.plan([host("gpu1", free=90_000_000_000)], LOCK, {}))
    assert "40.0 GB to fetch, no time is known, as no pull of it is on record, " in unknown


def test_weights_larger_than_the_memory_are_said_and_nothing_is_guessed_besides():
    weights = Layer(digest("1"), 40_000_000_000, "application/vnd.ollama.image.model")
    licence = Layer(digest("2"), 90_000_000_000, "application/vnd.ollama.image.license")
    lock = Lock((Locked("registry.ollama.ai/library/big:latest", digest("a"), "m", (weights, licence), "u", "t"),))
    there = (HeldModel("big:latest", "a" * 64, 1),)

    def said(models=(), **memory):
        known = room.MemoryHeadroom(**memory) if memory else None
        return model_plan.as_text(plan.plan([host("gpu1", models=models, memory=known)], lock, {}))

    small = said(ram=16_000_000_000, vram=12_000_000_000)
    assert "memory   big:latest: its weights alone are 40.0 GB, larger than the host's memory " in small
    assert "(16.0 GB of RAM and 12.0 GB on GPUs): it cannot be loaded" in small
    assert "(16.0 GB of RAM): it cannot be loaded" in said(there, ram=16_000_000_000)
    assert "more than the 24.0 GB on GPUs: a part would run on the CPU" in said(ram=64_000_000_000, vram=24_000_000_000)
    for enough in ({"ram": 64_000_000_000}, {"ram": 1, "vram": 40_000_000_000}, {}):
        assert "memory" not in said(**enough)


def test_memory_is_that_of_the_server_and_of_the_gpus_it_may_use():
    found = captured("debian13-rtx4090")
    assert found.memory is not None
    vram = sum(gpu.memory_total for gpu in found.gpu.nvidia or ())
    assert vram > 0
    assert room.memory(Settings(), found) == room.MemoryHeadroom(found.memory.total, vram)
    limited = Settings.model_validate({"ollama_memory_max": "4G", "gpu_vendor": "none"})
    assert room.memory(limited, found) == room.MemoryHeadroom(4 << 30)
    assert room.memory(Settings(), captured("nothing-answered")) is None


def test_a_model_that_is_not_locked_is_said_so():
    [one] = plan.plan([host("gpu1")], Lock(), {}).hosts
    assert [item.state for item in one.items] == ["unlocked", "unlocked"]


def test_of_many_hosts_only_those_that_are_not_well_are_named():
    there = (HeldModel("big:latest", "a" * 64, 1), HeldModel("cousin:latest", "b" * 64, 1))
    hosts = [host(f"gpu{number}", models=there if number else ()) for number in range(20)]
    text = model_table.as_text(table.table(hosts, LOCK, {}))
    assert "big:latest     40.0 GB  aaaaaaaaaaaa  ok 19; missing 1 (gpu0)" in text


def test_what_was_brought_last_is_what_prune_knows_by_whichever_way() -> None:
    old, new = Fetched("a" * 64, time=1), Fetched("b" * 64, time=2)
    known = Facts("gpu1", System(), pulled={"registry.ollama.ai/library/x:1": new})
    found = model_inventory.of(Settings(), known, "/store", {"x:1": old})
    assert found.pulled == {"registry.ollama.ai/library/x:1": new}
    later = model_inventory.of(Settings(), known, "/store", {"x:1": Fetched("c" * 64, time=3)})
    assert [one.digest for one in later.pulled.values()] == ["c" * 64]
