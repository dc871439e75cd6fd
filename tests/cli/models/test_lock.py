"""`models lock` and `update` against the simulated registry: what is wanted, what moved, what its faults say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reaper_ops.cli.program import run
from reaper_ops.lab import models
from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry


@pytest.fixture
def registry(tmp_path):
    models.publish(tmp_path / "registry")
    server = LabRegistry(tmp_path / "registry").start()
    yield server
    server.stop()


@pytest.fixture
def write(tmp_path, registry):
    def written(*names: str) -> str:
        document = {
            "all": {
                "hosts": {"one": {}},
                "vars": {
                    "ollama_insecure_registries": [registry.name],
                    "ollama_models": [f"{registry.name}/{name}" for name in names],
                },
            }
        }
        (tmp_path / "hosts.yml").write_text(json.dumps(document))
        return str(tmp_path / "hosts.yml")

    return written


def move(registry, model="tiny", seed=9):
    (registry.root / "manifests/library" / model / "latest").unlink()
    models.publish(registry.root, {f"library/{model}:latest": gguf.Shape(model, seed=seed)})


def answer(capfd, *argv):
    code = run(["models", *argv, "-o", "json"])
    document = json.loads(capfd.readouterr().out)
    return code, {row["name"].rpartition("/")[2]: row for row in document["models"]}


def test_a_lock_stays_when_a_tag_moves_and_follows_on_update(write, registry, tmp_path, capfd):
    inventory = write("library/tiny", "library/small")
    code, rows = answer(capfd, "lock", "-i", inventory)
    assert (code, [row["change"] for row in rows.values()]) == (0, ["added", "added"])
    first = (tmp_path / "models.lock").read_text()
    entry = json.loads(first)["models"][f"{registry.name}/library/tiny:latest"]
    assert entry["source"] == f"http://{registry.name}/v2/library/tiny/manifests/latest"
    assert entry["size"] == sum(layer["size"] for layer in entry["layers"])
    assert answer(capfd, "lock", "--check", "-i", inventory)[0] == 0
    move(registry)
    code, rows = answer(capfd, "lock", "-i", inventory)
    assert (code, rows["tiny:latest"]["change"], rows["small:latest"]["change"]) == (0, "moved", "kept")
    assert (tmp_path / "models.lock").read_text() == first
    assert answer(capfd, "lock", "--check", "-i", inventory)[0] == 3
    code, rows = answer(capfd, "update", "-i", inventory)
    assert (code, rows["tiny:latest"]["change"]) == (0, "updated")
    assert 0 < rows["tiny:latest"]["new_bytes"] <= rows["tiny:latest"]["now"]["size"]
    after = json.loads((tmp_path / "models.lock").read_text())["models"]
    assert (
        after[f"{registry.name}/library/small:latest"]
        == json.loads(first)["models"][f"{registry.name}/library/small:latest"]
    )
    assert after[f"{registry.name}/library/tiny:latest"]["digest"] == rows["tiny:latest"]["now"]["digest"]


def test_the_lock_of_a_directory_lies_beside_it_where_ansible_does_not_read_it(
    write, registry, tmp_path, capfd, monkeypatch
):
    (tmp_path / "fleet").mkdir()
    Path(write("library/tiny")).rename(tmp_path / "fleet/hosts.yml")
    monkeypatch.chdir(tmp_path)
    assert answer(capfd, "lock", "-i", "fleet/")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet", "fleet.models.lock", "registry"]
    monkeypatch.chdir(tmp_path / "fleet")
    code, rows = answer(capfd, "lock", "--check", "-i", ".")
    assert (code, rows["tiny:latest"]["change"]) == (0, "kept")
    assert run(["hosts", "-i", "."]) == 0


def test_update_of_one_name_leaves_the_others(write, registry, capfd):
    inventory = write("library/tiny", "library/small")
    run(["models", "lock", "-i", inventory])
    move(registry, "tiny")
    move(registry, "small")
    capfd.readouterr()
    code, rows = answer(capfd, "update", "-i", inventory, f"{registry.name}/library/small")
    assert (code, rows["tiny:latest"]["change"], rows["small:latest"]["change"]) == (0, "moved", "updated")
    assert run(["models", "update", "-i", inventory, "other"]) == 2
    assert "no host wants this model" in capfd.readouterr().err


def test_what_nobody_wants_leaves_the_lock(write, registry, tmp_path, capfd):
    run(["models", "lock", "-i", write("library/tiny", "library/small")])
    capfd.readouterr()
    code, rows = answer(capfd, "lock", "-i", write("library/tiny"))
    assert (code, rows["small:latest"]["change"]) == (0, "removed")
    left = json.loads((tmp_path / "models.lock").read_text())["models"]
    assert list(left) == [f"{registry.name}/library/tiny:latest"]


FAULTS = {
    "err401": r"answers 401: it wants credentials; check the name",
    "err401b": r"answers 401: it wants credentials",
    "err401c": r"answers 401: it wants credentials",
    "err404": r"answers 404: it has no such model or tag; check the name of the model",
    "err412": r"answers 412: it wants a newer Ollama for this model; raise ollama_version",
    "err429": r"answers 429: it limits the rate of requests; run again later",
    "err500": r"answers 500: it is in trouble; run again later",
    "err503": r"answers 503: it is in trouble; run again later",
    "html": r"does not answer with a manifest; a login page or a proxy answers in its place",
}


def test_a_registry_that_fails_for_one_name_is_named_and_stops_no_other(write, registry, capfd):
    code, rows = answer(capfd, "lock", "-i", write("library/small", *(f"{fault}/tiny" for fault in FAULTS)))
    assert code == 1
    assert rows.pop("small:latest")["change"] == "added"
    for fault, words in FAULTS.items():
        capfd.readouterr()
        assert run(["models", "lock", "-o", "text", "-i", write(f"{fault}/tiny")]) == 1
        [line] = [line for line in capfd.readouterr().out.splitlines() if line.startswith("failed")]
        assert f"http://{registry.name}/v2/{fault}/tiny/manifests/latest" in line
        assert words in line


def test_nothing_is_written_where_no_registry_answered(write, tmp_path, capfd):
    assert run(["models", "lock", "-i", write("err404/tiny")]) == 1
    assert "models.lock would hold 0 models" in capfd.readouterr().out
    assert not (tmp_path / "models.lock").exists()


def test_a_registry_that_is_not_there_or_speaks_no_tls(write, registry, capfd):
    inventory = write("library/tiny")
    assert run(["models", "lock", "-i", inventory, "-e", '{"ollama_insecure_registries": []}']) == 1
    assert "failed" in capfd.readouterr().out
    assert run(["models", "lock", "-i", inventory, "-e", '{"ollama_models": ["127.0.0.1:9/library/tiny"]}']) == 1
    assert "cannot be reached" in capfd.readouterr().out


def test_a_damaged_lock_is_an_error_of_the_input(write, tmp_path, capfd):
    (tmp_path / "models.lock").write_text("{}")
    assert run(["models", "lock", "-i", write("library/tiny")]) == 2
    assert "models.lock: has the schema None" in capfd.readouterr().err
