"""Golden files, one folder per shape; `REAPER_OPS_UPDATE_GOLDEN=1 pytest tests/core/test_render.py` writes them."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from golden_shapes import GOLDEN, NAMES, shape, written

from reaper_ops.core.provision import render

UPDATE = os.environ.get("REAPER_OPS_UPDATE_GOLDEN") == "1"


@pytest.mark.parametrize("name", NAMES)
def test_a_shape_renders_to_its_golden_files(name: str) -> None:
    found = render.files(*shape(name))
    if UPDATE:
        for path in (GOLDEN / name / "files").rglob("*"):
            if path.is_file():
                path.unlink()
        for path, text in found.items():
            target = GOLDEN / name / "files" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    assert found == written(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_context_is_plain_json_and_keeps_its_order(name: str) -> None:
    settings, facts = shape(name)
    context = render.context(settings, facts, ["ollama/unit"])
    again = json.loads(json.dumps(context))
    assert again == context
    assert list(again["environment"]) == list(context["environment"])
    assert context["todo"] == ["ollama/unit"]
    for target in render.targets(settings, facts):
        assert render.text(target, again) == render.text(target, context)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_says_who_owns_it_and_carries_the_hash_that_the_context_names(name: str) -> None:
    settings, facts = shape(name)
    context = render.context(settings, facts)
    texts = render.files(settings, facts)
    assert all("Managed by reaper_ops; changes are overwritten" in text for text in texts.values())
    assert all(text.endswith("\n") and not text.endswith("\n\n") for text in texts.values())
    assert sum(context["config_hash"] in text for text in texts.values()) == 1
    assert context["environment"]["REAPER_OPS_CONFIG"] == context["config_hash"]


@pytest.mark.parametrize("name", ["cpu-systemd", "adopt-systemd", "models-in-home-systemd"])
def test_a_host_without_user_namespaces_gets_a_unit_without_them(name: str) -> None:
    """systemd would end with 217/USER, again and again. A unit that is taken over may ask for them itself."""
    settings, facts = shape(name)
    reason = "user.max_user_namespaces leaves no room for one"
    without = replace(facts, system=replace(facts.system, no_user_namespaces=reason))
    written_then, written_now = ("\n".join(render.files(settings, one).values()) for one in (facts, without))
    assert "\nPrivateUsers=yes\n" in written_then
    assert f"# A host without user namespaces: {reason}.\nPrivateUsers=no\n" in written_now
    assert "PrivateUsers=yes" not in written_now
