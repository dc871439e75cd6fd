"""`models bundle`: from a registry to a file, and from there to hosts, with the same digests everywhere."""

from __future__ import annotations

import json
import os

import pytest
from models_fleet import fleet

from reaper_ops.cli.program import run


@pytest.fixture
def two(tmp_path):
    with fleet(tmp_path, "one", "two") as found:
        yield found


def begun(two, host):
    """What a run that was killed left on a host: a blob of which a third was carried."""
    source = max((two.registry.root / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    staging = two.root / "homes" / host / "models/.reaper_ops"
    staging.mkdir(parents=True)
    data = source.read_bytes()
    (staging / source.name.removeprefix("sha256-")).write_bytes(data[: len(data) // 3])


def test_hosts_get_the_bytes_of_the_bundle_and_others_are_no_obstacle(two, capfd):
    inventory = two.write("tiny", "small")
    place = two.root / "models.tar"
    asked = (two.name("tiny"), two.name("small"))
    assert run(["models", "bundle", "create", str(place), *asked, "--from", f"http://{two.registry.name}"]) == 0
    two.registry.stop()
    two.registry.stop = lambda: None
    capfd.readouterr()
    harmed = two.root / "harmed.tar"
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    harmed.write_bytes(data)
    assert run(["models", "bundle", "load", str(harmed), "-i", inventory]) == 2
    assert "is damaged" in capfd.readouterr().err
    assert two.listed("one") == {}
    begun(two, "two")
    code = run(["models", "bundle", "load", str(place), "-i", inventory, "-o", "json"])
    found = json.loads(capfd.readouterr().out)
    assert (code, list(found["problems"])) == (3, ["silent"])
    held = json.loads((two.root / "homes/one/reaper_ops/pulls.json").read_text())
    digests = {row["name"]: row["digest"] for row in found["models"]}
    assert two.listed("one") == two.listed("two") == digests
    assert {name: row["digest"] for name, row in held.items()} == digests
    for host in ("one", "two"):
        store = two.root / "homes" / host / "models"
        assert not (store / ".reaper_ops").exists()
        assert {path.stat().st_mode & 0o777 for path in (store / "blobs").iterdir()} == {0o644}
        assert two.servers[host].subject.generate(two.name("tiny"), prompt="x", stream=False).status == 200


def test_mistakes_are_told_before_hosts_are_touched(two, capfd):
    inventory = two.write("small")
    place = two.root / "b"
    assert run(["models", "bundle", "create", str(place), two.name("tiny"), "-i", inventory]) == 0
    assert run(["models", "bundle", "load", str(place)]) == 2
    assert run(["models", "bundle", "load", str(place), "-i", inventory]) == 2
    said = capfd.readouterr().err
    assert "nobody to bring it to" in said
    assert "no host wants a model of this bundle" in said
    assert run(["models", "bundle", "load", str(place), "mistral", "--check"]) == 2
    assert "does not hold mistral" in capfd.readouterr().err
    assert run(["models", "bundle", "load", str(place), "--check"]) == 0
    assert "every blob was checked" in capfd.readouterr().out
    os.truncate(place / "SHA256SUMS", 10)
    assert run(["models", "bundle", "load", str(place), "--check"]) == 2
