"""`render` walks from an inventory to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reaper_ops.core.facts.model import Docker, Facts, System
from reaper_ops.core.inventory import hosts as core_inventory
from reaper_ops.core.inventory.hosts import Inventory
from reaper_ops.errors import ReaperError
from reaper_ops.flows.provision import render

UNIT = "/etc/systemd/system/ollama.service"
COMPOSE = "/etc/reaper_ops/compose.yaml"


def inventory(**hosts: dict[str, object]) -> Inventory:
    return core_inventory.parse({"_meta": {"hostvars": hosts}, "all": {"hosts": list(hosts)}})


FLEET = inventory(a={"ollama_runtime": "docker", "gpu_vendor": "nvidia"}, b={"swap_kind": "zram"})


def test_each_host_is_shown_in_its_own_runtime() -> None:
    found = render.files(FLEET, {}, None)
    assert [(one.host, one.path) for one in found][:2] == [("a", COMPOSE), ("b", "/etc/systemd/zram-generator.conf")]
    assert ("b", UNIT, "0644") in {(one.host, one.path, one.mode) for one in found}


def test_a_kind_shows_what_a_host_would_be_in_that_runtime() -> None:
    found = render.files(FLEET, {}, "compose")
    assert [one.host for one in found if one.path == COMPOSE] == ["a", "b"]


def test_a_kind_that_cannot_hold_a_setting_names_host_and_setting() -> None:
    with pytest.raises(ReaperError, match="b/swap_kind: swap needs root"):
        render.files(FLEET, {}, "process")


def test_facts_decide_the_form() -> None:
    facts = {"a": Facts("a", System(), docker=Docker("28.2.2", "2.36.0", True))}
    assert "nvidia.com/gpu=all" in render.files(FLEET, facts, None)[0].text
    assert "nvidia.com/gpu=all" not in render.files(FLEET, {}, None)[0].text


def test_saved_facts_are_read_again() -> None:
    facts = {"a": Facts("a", System(arch="aarch64"), docker=Docker("28.2.2", None, True))}
    assert render.read_facts("x.json", render.dump_facts(facts)) == facts
    one = json.dumps(json.loads(render.dump_facts(facts))["a"])
    assert render.read_facts("x.json", one) == facts


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": {"system": 1}}', '{"a": 7}', '{"host": "a", "system": {"cpus": "x"}}']
)
def test_broken_facts_are_one_clear_error(text: str) -> None:
    with pytest.raises(ReaperError, match=r"^x\.json"):
        render.read_facts("x.json", text)


def test_files_are_written_below_the_directory_with_their_mode(tmp_path: Path) -> None:
    rendered = render.files(FLEET, {}, None)
    render.write(rendered, str(tmp_path))
    paths = render.write(rendered, str(tmp_path))
    assert (tmp_path / "a" / COMPOSE.lstrip("/")).read_text() == rendered[0].text
    assert {Path(path).relative_to(tmp_path).parts[0] for path in paths} == {"a", "b"}
    assert oct((tmp_path / "a" / COMPOSE.lstrip("/")).stat().st_mode & 0o777) == "0o640"


def test_a_host_cannot_lead_out_of_the_directory(tmp_path: Path) -> None:
    rendered = render.files(inventory(**{"..": {}}), {}, None)
    with pytest.raises(ReaperError, match="leads out of"):
        render.write(rendered, str(tmp_path))
