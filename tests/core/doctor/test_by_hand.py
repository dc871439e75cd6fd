"""Steps for hosts that have no inventory speak of what a person can type there."""

from __future__ import annotations

import re

import pytest

from reaper_ops.core.doctor import by_hand
from reaper_ops.core.doctor.finding import Step
from reaper_ops.core.doctor.rules.catalogue import RULES

OURS = re.compile(r"`ollama_(?:models|version|port|memory_max|env)\b|\b[Tt]hen apply|^Apply|[Cc]onverge|configures it")
APPLIED = [(rule.id, step.text) for rule in RULES for step in rule.steps if "{up}" in step.command]


def test_no_step_needs_an_inventory() -> None:
    assert len(APPLIED) > 20
    left = [(id_, text) for id_, text in APPLIED if OURS.search(by_hand.step(Step(text, "{up}")).text)]
    assert not left


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "Set `ollama_models` to a smaller one in the inventory, then apply it.",
            "Set the model's name to a smaller one.",
        ),
        ("Restore the unit as the inventory configures it.", "Restore the unit."),
        ("Raise `ollama_memory_max` in the inventory.", "Raise the unit's MemoryMax= or the container's memory limit."),
    ],
)
def test_what_the_inventory_would_set_is_said_in_words(text: str, wanted: str) -> None:
    assert by_hand.step(Step(text, "{up}")).text == wanted


def test_a_variable_is_named_with_the_place_where_it_is_set() -> None:
    step = by_hand.step(Step('Name the card: set `ollama_env: {HSA_OVERRIDE_GFX_VERSION: "{like}"}`.', "{up}"))
    assert step.text.startswith("Name the card: set HSA_OVERRIDE_GFX_VERSION={like}. Where variables are set:")
    assert step.command == "{restart}"


def test_applying_alone_becomes_a_restart() -> None:
    step = by_hand.step(Step("Apply the inventory, which has the address 192.0.2.1.", "{up}"))
    assert (step.text.split(",")[0], step.command) == ("Restart the server", "{restart}")
