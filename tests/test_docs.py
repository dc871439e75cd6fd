"""The README and docs/: short enough to read, every link leads somewhere, every command is listed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reaper_ops.cli import verbs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]+)?\)")
README_LINES = 150


def test_the_readme_is_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link for link, _ in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_command_is_in_the_readme() -> None:
    rows = re.findall(r"^\| (`[a-z`, ]+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(re.findall(r"[a-z]+", " ".join(rows))) == sorted(verbs.VERBS)


def test_every_page_is_named_by_another() -> None:
    named = {
        (page.parent / link).resolve()
        for page in PAGES
        for link, _ in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in link
    }
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page.resolve() not in named] == []
