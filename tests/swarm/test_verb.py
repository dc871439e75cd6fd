"""`reaper-ops models pull --strategy swarm` on this machine, with Ansible and aria2."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from mirror import site
from models_fleet import fleet

from reaper_ops.cli.program import run

SIZE = 3 << 20


@pytest.fixture
def two(monkeypatch):
    """In a directory that stays open to others: pytest closes its own again when another run begins."""
    missing = [name for name in ("aria2c",) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    root = Path(tempfile.mkdtemp(prefix="reaper-swarm-"))
    root.chmod(0o755)
    monkeypatch.setenv("HOME", str(root / "home"))
    try:
        with fleet(root, "one", "two") as found:
            site.publish(found.registry.root, "library/big:latest", SIZE)
            yield found
    finally:
        shutil.rmtree(root, ignore_errors=True)


def answer(capfd, *argv):
    capfd.readouterr()
    code = run(["models", *argv, "-o", "json"])
    return code, json.loads(capfd.readouterr().out)


def seed_address():
    """An address of this machine that no other test takes."""
    return f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"


def test_hosts_get_each_blob_from_each_other_and_the_registry_sends_it_once(two, capfd):
    inventory = two.write("tiny", "big")
    assert run(["models", "lock", "-i", inventory]) == 0
    more = ("--seed-address", seed_address(), "--limit-rate", "100M")
    code, found = answer(capfd, "pull", "-i", inventory, "--strategy", "swarm", *more)
    assert code == 3
    assert list(found["problems"]) == ["silent"]
    assert [(row["host"], row["changed"], row["error"]) for row in found["models"]] == [
        ("one", True, ""),
        ("one", True, ""),
        ("two", True, ""),
        ("two", True, ""),
    ]
    assert two.listed("one") == two.listed("two") == two.promised()
    assert two.registry.bytes_sent < 1.1 * SIZE + (1 << 20)
    kept = two.root / "home/.cache/reaper_ops/swarm"
    assert any(path.name.startswith("sha256-") for path in kept.rglob("*"))


def test_two_tags_of_a_model_are_replaced_and_leave_no_blob_of_the_old_ones(two, capfd):
    """What they were before has one name between them while they are pulled."""
    root, store = two.registry.root, two.root / "homes/one/models"
    for tag in ("latest", "other"):
        site.publish(root, f"library/big:{tag}", SIZE if tag == "latest" else SIZE + 1)
    names = [f"{two.registry.name}/library/big:{tag}" for tag in ("latest", "other")]
    inventory = two.write(ollama_models=names)
    argv = ("pull", "-i", inventory, "-l", "one", "--strategy", "swarm", "--seed-address", seed_address())
    assert run(["models", "lock", "-i", inventory]) == 0
    assert answer(capfd, *argv)[0] == 0
    for tag in ("latest", "other"):
        site.publish(root, f"library/big:{tag}", SIZE + (2 if tag == "latest" else 3))
    assert run(["models", "update", "-i", inventory]) == 0
    assert answer(capfd, *argv)[0] == 0
    assert two.listed("one") == two.promised()
    entries = json.loads(two.lock.read_text())["models"].values()
    wanted = {layer["digest"].replace(":", "-") for one in entries for layer in one["layers"]}
    assert {path.name for path in (store / "blobs").iterdir()} == wanted
