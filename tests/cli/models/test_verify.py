"""`models verify`: one flipped byte on one host is found, named, and fetched again when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from models_fleet import fleet

from reaper_ops.cli.program import run


@pytest.fixture
def two(tmp_path):
    with fleet(tmp_path, "one", "two") as found:
        found.write("tiny", "small")
        for host in ("one", "two"):
            found.seed(host, "tiny", "small")
        yield found


def answer(capfd, *argv):
    capfd.readouterr()
    code = run(["models", "verify", *argv, "-o", "json"])
    return code, json.loads(capfd.readouterr().out)


def weights(two, host, model) -> Path:
    """The file of the largest blob of a model on a host."""
    entry = json.loads((two.registry.root / "manifests/library" / model / "latest").read_text())
    digest = max(entry["layers"], key=lambda layer: layer["size"])["digest"]
    return two.root / "homes" / host / "models/blobs" / digest.replace(":", "-")


def flip(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return bytes(data)


def states(found):
    return {
        (s["host"], m["name"].split("/")[-1].split(":")[0]): m["state"] for s in found["hosts"] for m in s["models"]
    }


def test_a_flipped_byte_on_one_host_is_found_and_repaired(two, capfd):
    assert run(["models", "lock", "-i", two.inventory]) == 0
    bad = weights(two, "two", "small")
    flip(bad)
    capfd.readouterr()
    assert run(["models", "verify", "-i", two.inventory]) == 3
    said = capfd.readouterr().out
    assert bad.name[:19] in said
    assert "verify --repair" in said
    assert "silent: Verify the models: " in said
    assert "1 of 3 hosts hold what they shall" in said
    weights(two, "one", "tiny").unlink()
    code, found = answer(capfd, "-i", two.inventory, "-l", "one,two", "--repair")
    assert (code, len(states(found)), set(states(found).values())) == (0, 4, {"ok"})
    short = {host: f"{two.registry.name}/library/{model}:latest" for host, model in (("one", "tiny"), ("two", "small"))}
    assert found["notes"] == [f"{host}: fetched again what {name} lacked" for host, name in short.items()]
    assert not (two.root / "homes/two/models/set-aside").exists()


def test_a_repair_that_cannot_fetch_puts_the_bytes_back_and_fails(two, capfd):
    bad = weights(two, "one", "tiny")
    damaged = flip(bad)
    (two.registry.root / "manifests/library/tiny/latest").unlink()
    code, found = answer(capfd, "-i", two.inventory, "-l", "one", "--repair", "-e", "reaper_retries=0")
    assert code == 3
    assert "the damaged blobs were restored" in found["problems"]["one"]
    assert bad.read_bytes() == damaged
