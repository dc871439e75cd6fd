"""Written twice means tested equal: Settings = roles' defaults = argument_specs = READMEs = the example inventory."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reaper_ops import assets
from reaper_ops.core.inventory.settings import catalogue, names, parse
from reaper_ops.formats.inventory import contracts

ROOT = Path(__file__).resolve().parents[3]
ROLES = assets.collection("roles")
AGAIN = "run: python docs/generate.py"


@pytest.mark.parametrize(("name", "text"), contracts.role_files().items(), ids=lambda value: value.split("\n")[0])
def test_a_generated_file_is_in_step(name, text):
    assert (ROOT / name).read_text(encoding="utf-8") == text, AGAIN


def test_the_table_of_the_settings_is_in_step():
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert contracts.inserted(text) == text, AGAIN


def test_every_setting_belongs_to_one_role_or_to_rehearsals():
    placed = [name for role in catalogue.ROLES.values() for name in role] + list(catalogue.REHEARSAL)
    assert sorted(placed) == sorted(names())


def test_every_role_has_its_purpose_and_its_folder():
    assert set(catalogue.ROLES) == set(catalogue.PURPOSES) == {path.name for path in ROLES.iterdir()} - {"converge"}


def test_the_defaults_of_all_roles_are_the_defaults_of_settings():
    said = {}
    for role in catalogue.ROLES:
        mine = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())
        assert all(name.startswith(f"{role}_") for name in mine)
        said |= mine
    assert {name for name in names() if name not in said} == {"exposure", *catalogue.REHEARSAL}
    assert said == {name: catalogue.default(name) for name in said}


def test_the_argument_specs_of_all_roles_are_settings():
    said = {}
    for role in catalogue.ROLES:
        spec = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())
        said |= spec["argument_specs"]["main"]["options"]
    assert sorted(said) == sorted(set(names()) - set(catalogue.REHEARSAL))
    for name, option in said.items():
        assert option.get("default") == catalogue.default(name)


def test_every_setting_without_a_default_has_an_example():
    rows = (*catalogue.rows(), *catalogue.rehearsal_rows())
    assert [row.name for row in rows if row.default in (None, [], {}) and row.example is None] == []


@pytest.mark.parametrize(("name", "value"), catalogue.EXAMPLES.items())
def test_every_example_is_a_good_value(name, value):
    around = {
        "ollama_image": {"ollama_runtime": "docker"},
        "ollama_home": {"ollama_runtime": "process"},
        "ollama_models": {"ollama_model_sets": {"guide": ["llama3"]}},
    }
    assert parse("h", {name: value, **around.get(name, {})})[1] == ()


def test_the_example_inventory_names_every_setting_and_its_help():
    text = contracts.example()
    plain = " ".join(line.lstrip("# ") for line in text.splitlines())
    for row in catalogue.rows():
        assert f"\n# {row.name}:" in text or f"\n{row.name}:" in text
        assert row.help in plain or row.name == "ollama_model_sets"
