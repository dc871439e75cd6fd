"""Real aria2 and opentracker between namespaces with 50 Mbit/s links; bytes are counted on the links."""

from __future__ import annotations

import json
import os
import signal
import time

from swarm.conftest import NAME, answer

MIB = 1 << 20
PEERS, SIZE = 8, 16 * MIB


def weights(fleet):
    return max((fleet.root / "registry/blobs").iterdir(), key=lambda path: path.stat().st_size)


def staged(fleet, at):
    return sorted(path.name for path in (fleet.store(at) / ".reaper").iterdir())


def test_eight_peers_cost_the_seed_two_copies_at_most(hosts, record_property):
    fleet = hosts(PEERS, SIZE)
    swarm = fleet.seed()["swarm"]
    before = fleet.site.sent(0)
    rows = [answer(one) for one in [fleet.pull(at, swarm) for at in range(1, PEERS + 1)]]
    copies = (fleet.site.sent(0) - before) / SIZE
    record_property("seed_copies", copies)
    print(f"seed copies: {copies:.2f}")
    assert [row["models"][0]["error"] for row in rows] == [""] * PEERS
    assert all(row["changed"] and row["models"][0]["bytes"] >= SIZE for row in rows)
    assert copies <= 2
    assert [fleet.listed(at) for at in range(1, PEERS + 1)] == [{NAME: fleet.digest}] * PEERS
    assert all(fleet.end(at)["changed"] for at in range(1, PEERS + 1))
    assert [staged(fleet, at) for at in range(1, PEERS + 1)] == [["log"]] * PEERS
    blob = fleet.store(1) / "blobs" / weights(fleet).name
    assert blob.stat().st_nlink == 1
    assert blob.stat().st_mode & 0o777 == 0o644
    again = answer(fleet.pull(1, swarm))
    assert (again["changed"], again["models"][0]["digest"]) == (False, fleet.digest)
    ended = answer(fleet.module(0, "ollama_seed", state="ended", purge=True, dir=str(fleet.root / "seed")))
    assert ended["changed"]
    assert list((fleet.root / "seed").iterdir()) == []


def test_a_killed_peer_goes_on_and_a_flipped_byte_is_fetched_again(hosts, tmp_path):
    fleet = hosts(1, SIZE)
    swarm, progress = fleet.seed()["swarm"], tmp_path / "progress"
    first = fleet.pull(1, swarm, progress_file=str(progress))
    while not (progress.exists() and (json.loads(progress.read_text()).get("completed") or 0) > SIZE // 2):
        assert first.poll() is None
        time.sleep(0.02)
    session = json.loads((fleet.store(1) / ".reaper/session.json").read_text())
    for pid in (first.pid, session["pid"]):
        os.kill(pid, signal.SIGKILL)
    first.wait()
    assert fleet.listed(1) == {}
    path = fleet.store(1) / ".reaper" / weights(fleet).name
    kept = path.stat().st_blocks * 512
    with path.open("r+b") as file:
        file.seek(8)
        byte = file.read(1)
        file.seek(8)
        file.write(bytes([byte[0] ^ 1]))
    before = fleet.site.sent(0)
    done = answer(fleet.pull(1, swarm))
    assert done["models"][0]["error"] == ""
    assert fleet.listed(1) == {NAME: fleet.digest}
    assert (fleet.store(1) / "blobs" / path.name).read_bytes() == weights(fleet).read_bytes()
    assert fleet.site.sent(0) - before < SIZE - kept // 3
