"""`models create`: made once, the same everywhere; a server lists, shows and runs it."""

from __future__ import annotations

import json

import pytest
from models_fleet import fleet
from subject import Starter, simulated

from reaper_ops.cli.program import run
from reaper_ops.core.models import lock
from reaper_ops.lab.ollama import gguf

TEXT = 'FROM ./m.gguf\nTEMPLATE "{{ .Prompt }}"\nSYSTEM "Be brief."\nPARAMETER num_ctx 512\n'


@pytest.fixture
def source(tmp_path):
    (tmp_path / "m.gguf").write_bytes(gguf.build(gguf.Shape("mine", seed=3)))
    (tmp_path / "Modelfile").write_text(TEXT)
    return tmp_path / "Modelfile"


def create(place, source, *more):
    return run(["models", "create", "team/mine:1", str(place), "-f", str(source), *more])


def test_a_server_runs_straight_from_what_was_made(source, tmp_path):
    assert create(tmp_path / "b", source) == 0
    starter = Starter("simulated", simulated(tmp_path / "tree"), tmp_path / "servers")
    try:
        server = starter.start(OLLAMA_MODELS=str(tmp_path / "b"), REAPER_OPS_LAB_PATIENCE="0.01").wait_ready()
        shown = server.ask("POST", "/api/show", {"model": "team/mine:1"}).json()
        rows = server.ask("GET", "/api/tags").json()["models"]
        answered = server.generate("team/mine:1", prompt="x", stream=False)
    finally:
        starter.stop()
    entry = lock.parse((tmp_path / "b/models.lock").read_text()).models[0]
    assert [(row["name"], f"sha256:{row['digest']}") for row in rows] == [("team/mine:1", entry.digest)]
    assert (shown["system"], shown["template"]) == ("Be brief.", "{{ .Prompt }}")
    assert "num_ctx" in shown["parameters"]
    assert answered.status == 200


def test_hosts_get_it_as_a_bundle_and_the_lock_keeps_it_without_asking_a_registry(source, tmp_path, capfd):
    with fleet(tmp_path / "fleet", "one") as found:
        inventory = found.write(ollama_models=["team/mine:1"])
        assert create(tmp_path / "b.tar", source, "-i", inventory) == 0
        assert run(["models", "lock", "-i", inventory, "--check"]) == 0
        assert run(["models", "bundle", "load", str(tmp_path / "b.tar"), "-i", inventory, "-l", "one"]) == 0
        assert {f"registry.ollama.ai/{name}": one for name, one in found.listed("one").items()} == found.promised()
        capfd.readouterr()
        assert run(["models", "pull", "-i", inventory, "-l", "one", "-o", "json"]) == 0
        assert json.loads(capfd.readouterr().out)["models"][0]["changed"] is False


def test_mistakes_are_said_and_nothing_is_written(source, tmp_path, capfd):
    for text, words in (
        ("FROM llama3", "is no file"),
        ("FROM ./Modelfile", "is no GGUF file"),
        ("FROM ./m.gguf\nPARAMETER x 1", "there is no parameter 'x'"),
        ("FROM ./m.gguf\nPARAMETER temperature nan", "'nan' is no value of temperature"),
    ):
        source.write_text(text)
        assert create(tmp_path / "b", source) == 2
        assert words in capfd.readouterr().err
        assert not (tmp_path / "b").exists()
    assert create(tmp_path / "b", tmp_path / "none") == 2
    assert run(["models", "create", "@set", str(tmp_path / "b"), "-f", str(source)]) == 2
    assert "is the name of a set" in capfd.readouterr().err
    source.write_text(TEXT)
    assert create(tmp_path / "b", source) == 0
    assert run(["models", "create", "other", str(tmp_path / "b"), "-f", str(source)]) == 2
    assert "is a bundle of team/mine:1" in capfd.readouterr().err
