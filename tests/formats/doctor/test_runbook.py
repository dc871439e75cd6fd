from __future__ import annotations

import re
from pathlib import Path

import pytest

from reaper_ops.core.doctor.diagnose import BY_ID
from reaper_ops.core.doctor.finding import Automate
from reaper_ops.core.doctor.rules.catalogue import RULES
from reaper_ops.errors import ReaperError
from reaper_ops.formats.doctor import runbook
from reaper_ops.formats.doctor.runbook_paths import PATHS

ROOT = Path(__file__).resolve().parents[3]
SLUGS = set((ROOT / "tests" / "cases" / "probe" / "slugs.txt").read_text().split())
GUIDE = ["Connection refused", "Out of memory", "Slow responses"]


def test_the_runbooks_are_in_step_with_the_rules() -> None:
    written = {f"{runbook.ROOM}/{p.name}": p.read_text(encoding="utf-8") for p in (ROOT / runbook.ROOM).glob("*.md")}
    stale = [name for name, text in runbook.files().items() if written.get(name) != text]
    left = sorted(set(written) - set(runbook.files()))
    assert (stale, left) == ([], []), "run: python docs/generate.py"


def test_every_link_of_a_page_has_its_page() -> None:
    pages = {Path(name).name for name in runbook.files()}
    for name, text in runbook.files().items():
        assert set(re.findall(r"\]\(([\w-]+\.md)\)", text)) <= pages, name


def test_the_guides_three_lead_to_causes_of_the_catalogue() -> None:
    assert [path.title for path in PATHS] == GUIDE
    for path in PATHS:
        ids = [id_ for check in path.checks for id_ in check.ids]
        assert set(ids) <= SLUGS
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_page_tells_cause_remedy_and_check(rule) -> None:
    page, said = runbook.page(rule), runbook.text(rule.id)
    assert page.startswith(f"{runbook.NOTE}\n# `{rule.id}`\n\n**")
    for heading in ("Signals", "What to do", "Whether it worked", "Sources"):
        assert f"## {heading}\n" in page
        assert f"\n{heading}\n" in said
    assert page.count("```") % 2 == 0
    assert "{up}" not in page + said
    by_itself = any(step.automate is not Automate.NEVER for step in rule.steps)
    assert ("doctor --fix" in page) == by_itself


def test_a_page_says_what_to_write_in_a_place_of_a_host() -> None:
    pages = "\n".join(map(runbook.page, RULES))
    assert re.findall(r"\b(?:RIGHT|LIKE|ORIGINS|(?<!-)USER|WANTED)\b", pages) == []


def test_consequences_are_linked_both_ways() -> None:
    assert "- [`queue-full-503`](queue-full-503.md)" in runbook.page(BY_ID["model-swap-thrash"])
    assert "- [`model-swap-thrash`](model-swap-thrash.md)" in runbook.page(BY_ID["queue-full-503"])


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(ReaperError, match="did you mean cold-start-unload"):
        runbook.text("cold-start")


@pytest.mark.parametrize("name", [path.name for path in PATHS])
def test_a_path_is_text_too(name: str) -> None:
    said = runbook.text(name)
    assert said.splitlines()[0] in GUIDE
    assert "\n1. " in said


def test_the_listing_has_every_id_once() -> None:
    names = re.findall(r"^  ([a-z0-9-]+)  ", runbook.listing(), re.M)
    assert sorted(names) == sorted([*BY_ID, *(path.name for path in PATHS)])
