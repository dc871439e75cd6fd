"""Real aria2 between namespaces with 50 Mbit/s links; bytes are counted on the links."""

from __future__ import annotations

import base64
import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from swarm import net
from swarm.conftest import NAME, PLAYBOOKS, answer

from reaper_ops import assets

SPEC = importlib.util.spec_from_file_location("reaper_torrent", PLAYBOOKS / "plugins/module_utils/reaper_torrent.py")
torrents = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(torrents)

MIB = 1 << 20
PEERS, SIZE, LITTLE = 8, 16 * MIB, MIB
NOBODY, GUEST = 65534, 64435


def weights(fleet, swarm):
    [digest] = swarm["torrents"]
    return fleet.root / "registry/blobs" / digest.replace(":", "-")


def staged(fleet, at):
    return sorted(path.name for path in (fleet.store(at) / ".reaper").iterdir())


def users(keeper):
    """As whom a process and those that it started run."""
    every = [keeper, *map(int, Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split())]
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in every]
    return {int(uid) for text in texts for uid in text.partition("Uid:")[2].splitlines()[0].split()}


def listening(fleet, at, keeper):
    """The addresses at which aria2 and the tracker listen; RPC is on the loopback."""
    every = [str(keeper), *Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()]
    rows = net.run(*fleet.site.inside(at, ["ss", "-Hltunp"])).splitlines()
    return {row.split()[4].rpartition(":")[0] for row in rows if any(f"pid={pid}," in row for pid in every)}


def test_eight_peers_cost_the_seed_two_copies_at_most(hosts, record_property):
    fleet = hosts(PEERS, SIZE)
    os.chown(fleet.store(1), NOBODY, NOBODY)
    for path in fleet.store(1).iterdir():
        os.chown(path, NOBODY, NOBODY)
    swarm = fleet.seed()["swarm"]
    before = fleet.site.sent(0)
    rows = [answer(one) for one in [fleet.pull(at, swarm) for at in range(1, PEERS + 1)]]
    copies = (fleet.site.sent(0) - before) / SIZE
    record_property("seed_copies", copies)
    print(f"seed copies: {copies:.2f}")
    assert [row["models"][0]["error"] for row in rows] == [""] * PEERS
    assert all(row["changed"] and row["models"][0]["bytes"] >= SIZE for row in rows)
    assert copies <= 2
    assert [row["models"][0]["digest"] for row in rows] == [fleet.digest] * PEERS, "as /api/tags says"
    assert fleet.listed(1) == {NAME: fleet.digest}
    keeper = json.loads((fleet.store(1) / ".reaper/session.json").read_text())["pid"]
    assert users(keeper) == {NOBODY}, "real and saved too, so that aria2 cannot become root again"
    assert fleet.end(1)["changed"]
    assert staged(fleet, 1) == ["log"]
    blob = fleet.store(1) / "blobs" / weights(fleet, swarm).name
    assert (blob.stat().st_nlink, blob.stat().st_mode & 0o777) == (1, 0o644)
    written = [path for path in fleet.store(1).rglob("*") if path.name not in ("blobs", "manifests")]
    assert {path.stat().st_uid for path in written} == {NOBODY}, "root writes as the owner of the store"
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
    assert users(session["pid"]) == {GUEST}, "aria2 is never root, also where the store is"
    assert listening(fleet, 1, session["pid"]) == {fleet.site.address(1), "127.0.0.1"}
    for pid in (first.pid, session["pid"]):
        os.kill(pid, signal.SIGKILL)
    first.wait()
    assert fleet.listed(1) == {}
    path = fleet.store(1) / ".reaper" / weights(fleet, swarm).name
    kept = path.stat().st_blocks * 512
    with path.open("r+b") as file:
        file.seek(8)
        byte = file.read(1)
        file.seek(8)
        file.write(bytes([byte[0] ^ 1]))
    former, swarm = swarm, fleet.seed()["swarm"]
    assert former["torrents"] != swarm["torrents"], "each pull has hashes of its own"
    before = fleet.site.sent(0)
    done = answer(fleet.pull(1, swarm))
    assert done["models"][0]["error"] == ""
    assert fleet.listed(1) == {NAME: fleet.digest}
    assert (fleet.store(1) / "blobs" / path.name).read_bytes() == weights(fleet, swarm).read_bytes()
    assert fleet.site.sent(0) - before < SIZE - kept // 3
    placed = fleet.store(1) / "blobs" / path.name
    assert (placed.stat().st_uid, placed.stat().st_nlink, path.stat().st_uid) == (0, 1, GUEST)
    keeper = json.loads((fleet.root / "seed/work/session.json").read_text())["pid"]
    assert users(keeper) == {GUEST}
    assert listening(fleet, 0, keeper) == {fleet.site.address(0), "127.0.0.1"}
    assert fleet.end(1)["changed"]
    assert not (fleet.store(1) / ".reaper").exists()


def test_pieces_that_lie_are_never_listed_and_a_second_controller_is_told(hosts, tmp_path):
    fleet = hosts(1, LITTLE)
    (fleet.root / "seed").mkdir()
    os.chown(fleet.root / "seed", NOBODY, NOBODY)
    swarm = fleet.seed(limit_rate="50000000")["swarm"]
    assert users(json.loads((fleet.root / "seed/session.json").read_text())["pid"]) == {NOBODY}
    assert "max-overall-download-limit=50000000\n" in (fleet.root / "seed/aria2.conf").read_text()
    [digest] = swarm["torrents"]
    staging = fleet.store(1) / ".reaper"
    staging.mkdir()
    wrong = staging / weights(fleet, swarm).name
    wrong.write_bytes(weights(fleet, swarm).read_bytes()[:-1] + b"?")
    for path in (staging, wrong):
        os.chown(path, GUEST, GUEST)
    _, pieces = torrents.read(str(wrong), LITTLE)
    data, _ = torrents.torrent(wrong.name, LITTLE, pieces, "http://10.77.0.10:6969/announce", "salt")
    lying = {**swarm, "torrents": {digest: base64.b64encode(data).decode()}}
    told = answer(fleet.pull(1, lying, retries=0))["models"][0]
    assert "digest mismatch" in told["error"]
    assert fleet.listed(1) == {}
    assert not wrong.exists()
    assert not (fleet.store(1) / "blobs" / wrong.name).exists()
    locked = {NAME: {"digest": "sha256:" + "0" * 64, "blobs": {}}}
    told = answer(fleet.pull(1, swarm, locked=locked))["models"][0]
    assert f"the seed has the manifest {fleet.digest[:12]} for {NAME}, expected 000000000000" in told["error"]
    assert fleet.listed(1) == {}
    second = fleet.seed(owner="somebody@else")
    assert "test has been seeding another swarm here for" in second["msg"]
    lock = tmp_path / "pull.lock"
    held = {"owner": "somebody@else", "since": int(time.time()) - 60, "pid": 1}
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(held))
        file.flush()
        busy = answer(fleet.pull(1, swarm, lock_file=str(lock)))
    assert "another pull is running on this host, by somebody@else for 6" in busy["msg"]
    assert answer(fleet.pull(1, swarm))["models"][0]["digest"] == fleet.digest


def test_a_peer_that_sends_wrong_pieces_does_no_harm(hosts, tmp_path):
    """It has the torrent, answers as one who has everything, and every byte that it sends is wrong.

    The links are slow, so that the seed alone cannot send everything before this peer is asked.
    """
    fleet = hosts(2, 4 * MIB, "10mbit")
    swarm = fleet.seed()["swarm"]
    [digest] = swarm["torrents"]
    wrong = tmp_path / digest.replace(":", "-")
    wrong.write_bytes(bytes(byte ^ 255 for byte in weights(fleet, swarm).read_bytes()))
    (tmp_path / "t.torrent").write_bytes(base64.b64decode(swarm["torrents"][digest]))
    argv = ["aria2c", "--no-conf", f"--dir={tmp_path}", "--bt-seed-unverified=true", "--seed-ratio=0.0"]
    argv += ["--bt-require-crypto=true", "--listen-port=6881-6999", "--enable-dht=false", "--disable-ipv6=true"]
    with (tmp_path / "out").open("wb") as out:
        fleet.start(2, [*argv, "--bt-tracker-interval=2", str(tmp_path / "t.torrent")], stdout=out, stderr=out)
    for _ in range(200):
        if b"SEED" in (tmp_path / "out").read_bytes():
            break
        time.sleep(0.05)
    before = fleet.site.sent(2)
    told = answer(fleet.pull(1, swarm))["models"][0]
    assert fleet.site.sent(2) - before > 16 << 10, "it was asked"
    blob = fleet.store(1) / "blobs" / wrong.name
    assert (told["error"] == "") == (fleet.listed(1) == {NAME: fleet.digest}) == blob.exists()
    assert not blob.exists() or torrents.sha256(str(blob)) == digest.partition(":")[2]


MEET = """
import sys, socket
sys.path.append(sys.argv[1])
from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_tracker
class Known(reaper_tracker.Tracker):
    def answer(self, path, address, now):
        for peers in self.swarms.values():
            peers[socket.inet_aton(sys.argv[3]) + int(sys.argv[4]).to_bytes(2, "big")] = (now, True)
        return super().answer(path, address, now)
reaper_tracker.Tracker = Known
reaper_tracker.serve(sys.argv[2], "127.0.0.1", 6969)
"""


def test_who_knows_the_blob_but_was_not_given_the_torrent_gets_nothing(hosts, tmp_path):
    """He makes a torrent of the blob himself. The seed's tracker refuses him; one of his own leads him to the seed,
    whose aria2 knows no such torrent. With the torrent that hosts are given, the same two ways work."""
    fleet = hosts(1, LITTLE)
    swarm = fleet.seed()["swarm"]
    [digest] = swarm["torrents"]
    blob = weights(fleet, swarm)
    whole, pieces = torrents.read(str(blob), LITTLE)
    assert f"sha256:{whole}" == digest
    given = base64.b64decode(swarm["torrents"][digest])
    announces = {"tracker": "http://10.77.0.10:6969/announce", "meet": "http://127.0.0.1:6969/announce"}
    rows = net.run(*fleet.site.inside(0, ["ss", "-Hltn"])).split()
    [port] = {row.rpartition(":")[2] for row in rows if row.startswith(f"{fleet.site.address(0)}:")} - {"6969"}
    salt = given.partition(b"6:source32:")[2][:32].decode()
    assert len(salt) == 32
    for known, is_let_in in (("", False), (salt, True)):
        for way, announce in announces.items():
            place = tmp_path / f"{way}-{is_let_in}"
            place.mkdir()
            data, hash_ = torrents.torrent(blob.name, LITTLE, pieces, announce, known)
            (place / "t.torrent").write_bytes(data)
            (place / "hashes").write_text(hash_)
            argv = [sys.executable, "-c", MEET, str(assets.collections()), str(place / "hashes")]
            meet = fleet.start(1, [*argv, fleet.site.address(0), port])
            argv = ["aria2c", "--no-conf", f"--dir={place}", "--seed-time=0", "--bt-require-crypto=true"]
            argv += ["--enable-dht=false", "--disable-ipv6=true", "--bt-tracker-interval=1", "--file-allocation=none"]
            argv += [f"--bt-stop-timeout={20 if is_let_in else 6}"]
            done = fleet.start(1, [*argv, str(place / "t.torrent")], stdout=subprocess.DEVNULL)
            done.wait(timeout=60)
            meet.kill()
            meet.wait()
            got = (place / blob.name).read_bytes() if (place / blob.name).exists() else b""
            assert (got == blob.read_bytes()) is is_let_in, way
            assert is_let_in or not any(got), way
