"""The web page: complete in itself, safe against what hosts say, readable by everybody."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from html_pages import CAUSE, EVIL, LOST, REPORT, SICK, WELL, poisoned
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops import assets
from reaper_ops.core.doctor.diagnosis import Diagnosis
from reaper_ops.core.doctor.finding import Severity
from reaper_ops.core.health.report import Evidence, Report, State
from reaper_ops.formats.health import as_html


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.words += " "

    def handle_endtag(self, tag: str) -> None:
        self.words += " "

    def handle_data(self, data: str) -> None:
        self.words += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def links(self) -> set[str]:
        names = ("src", "href", "action", "data", "poster", "srcset", "xlink:href")
        return {str(attrs[name]) for _, attrs in self.tags for name in names if name in attrs}


def test_what_is_shown() -> None:
    words = " ".join(Page(as_html.page(REPORT)).words.split())
    assert "3 hosts · 2023-11-14 22:13 UTC" in words
    assert "Simulated: the Ollama server" in words
    assert "the kernel killed the runner kernel-oom-kill kernel log Out of memory: Killed process 812" in words
    assert "Problem: cannot be reached: no route Next: ansible gpu3 -m ping" in words
    assert "Memory 51.5 GB of 68.7 GB" in words
    assert "VRAM 12.9 GB of 25.8 GB" in words
    assert words.index("gpu2 ✕ out-of-memory") < words.index("gpu3 ? unknown")


def test_the_same_name_with_two_digests_is_pointed_out() -> None:
    words = " ".join(Page(as_html.page(REPORT)).words.split())
    assert "llama3:8b ! digests differ aaaaaaaaaaaa 5.4 GB 1 host gpu1" in words
    same = Report("probe", (WELL, replace(WELL, host="gpu4")))
    assert "digests differ" not in as_html.page(same)


def test_a_healthy_fleet() -> None:
    page = as_html.page(Report("probe", (WELL,), 1.0))
    assert "Nothing: every host is healthy." in page
    assert "<article" not in page


def test_an_empty_report() -> None:
    assert "0 hosts" in as_html.page(Report("probe", ()))


def test_a_diagnosis_adds_causes_and_steps() -> None:
    found = Diagnosis("gpu2", State.OUT_OF_MEMORY, causes=(CAUSE,), questions=("is it busy?",))
    other = Diagnosis("gpu9", State.TIMEOUT, "does not answer", problem="")
    words = " ".join(Page(as_html.page(REPORT, (found, other))).words.split())
    assert "the context of 262144 tokens does not fit context-oversized server log n_ctx = 262144" in words
    assert "Follows from it: kernel-oom-kill the kernel killed llama-server" in words
    assert "converge the host (doctor --fix asks first) reaper-ops up -l gpu2" in words
    assert "Check: reaper-ops probe -l gpu2 Question: is it busy?" in words
    assert "gpu9" in words


def test_a_finding_on_a_healthy_host_needs_attention() -> None:
    cause = replace(CAUSE, finding=replace(CAUSE.finding, severity=Severity.WARNING))
    page = as_html.page(Report("doctor", (WELL,)), (Diagnosis("gpu1", State.HEALTHY, causes=(cause,)),))
    assert '<article id="h1" class="warning">' in page
    words = " ".join(Page(page).words.split())
    assert "At a glance 1 ! healthy, with findings Needs attention gpu1 ! healthy, with findings" in words


def test_trend() -> None:
    earlier = [
        Report("probe", (WELL, replace(SICK, state=State.HEALTHY, cause=None), LOST), 1_600_000_000.0),
        Report("probe", (WELL, SICK), 1_650_000_000.0),
    ]
    found = Page(as_html.page(REPORT, earlier=earlier))
    words = " ".join(found.words.split())
    assert found.count("rect") == 2 + 2 + 3
    assert "2022-04-15 05:20 gpu2 healthy → ✕ out-of-memory kernel-oom-kill" in words
    assert "2020-09-13 12:26 2 0 1 0 2022-04-15 05:20 1 0 0 1 2023-11-14 22:13 1 0 1 1" in words
    assert Page(as_html.page(REPORT)).count("svg") == 0


def test_nothing_is_loaded_from_anywhere() -> None:
    found = Page(as_html.page(REPORT, earlier=[REPORT]))
    assert {link for link in found.links() if not link.startswith("#")} == {"data:,"}
    assert found.count("script") == found.count("iframe") == found.count("img") == 0
    assert "url(" not in as_html.page(REPORT)
    assert "@import" not in as_html.page(REPORT)
    policy = next(attrs for tag, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy["content"])


def shape(text: str) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(attrs)) for tag, attrs in Page(text).tags]


def test_what_hosts_say_is_text_and_nothing_else() -> None:
    page = poisoned(EVIL)
    assert shape(page) == shape(poisoned("plain"))
    assert {link for link in Page(page).links() if not link.startswith("#")} == {"data:,"}
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", page)
    assert "\\u202e\\x1b[2J\\x00" in Page(page).words


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=60)
def test_no_text_changes_the_page_around_it(text: str) -> None:
    page = poisoned(text)
    assert shape(page) == shape(poisoned("plain"))
    page.encode()


def test_long_texts_are_cut() -> None:
    row = replace(SICK, summary="x" * 100_000, evidence=(Evidence("log", "y" * 100_000),) * 1000)
    assert len(as_html.page(Report("probe", (row,)))) < 40_000


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def schemes() -> list[dict[str, str]]:
    css = (assets.templates() / "report" / "page.css").read_text()
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{([^}]*)\}", css)]


@pytest.mark.parametrize("colours", schemes(), ids=("light", "dark"))
@pytest.mark.parametrize("ground", ["paper", "card"])
def test_contrast_is_enough_for_everybody(colours: dict[str, str], ground: str) -> None:
    for name in ("text", "quiet", "link", "good", "warning", "error", "unknown"):
        high, low = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


def test_tables_have_heads_and_bars_have_words() -> None:
    found = Page(as_html.page(REPORT, earlier=[REPORT]))
    assert found.count("table") == found.count("thead") == 3
    assert all(attrs.get("scope") in {"col", "row"} for tag, attrs in found.tags if tag == "th")
    assert all(attrs.get("data-label") for tag, attrs in found.tags if tag == "td")
    assert all(attrs.get("aria-label") for _, attrs in found.tags if attrs.get("role") == "img")
    assert found.tags[0] == ("html", {"lang": "en"})


def test_a_thousand_hosts_are_at_most_three_megabytes() -> None:
    hosts = [replace((WELL, SICK, LOST)[at % 3], host=f"host{at:04}") for at in range(1000)]
    assert len(as_html.page(Report("probe", tuple(hosts), 1.0)).encode()) <= 3_000_000
