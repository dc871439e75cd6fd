"""Releases: the ranges of known vulnerabilities at both edges, what is refused, and what is recommended and why."""

from __future__ import annotations

import pytest

from reaper_ops.core.inventory import releases

EDGES = [
    # CERT Polska: since 0.34.2, fixed in 0.35.0
    ("CVE-2026-103663", "0.34.1", "0.34.2", "0.34.4", "0.35.0"),
    # NVD: 0.14.0 up to but excluding 0.31.2
    ("CVE-2026-102697", "0.13.5", "0.14.0", "0.31.1", "0.31.2"),
    # NVD and OSV: 0.30.0 through 0.33.2
    ("CVE-2026-85180", "0.24.0", "0.30.0", "0.33.2", "0.33.3"),
    # NVD: fixed in 0.17.1, no lower bound
    ("CVE-2026-7482", None, "0.1.0", "0.17.0", "0.17.1"),
]


@pytest.mark.parametrize(("id_", "before", "first", "last", "after"), EDGES, ids=[row[0] for row in EDGES])
def test_a_range_holds_at_both_edges(id_: str, before: str | None, first: str, last: str, after: str) -> None:
    def affected(version: str) -> bool:
        return id_ in {row.id for row in releases.affecting(version)}

    assert affected(first)
    assert affected(last)
    assert not affected(after)
    assert before is None or not affected(before)


@pytest.mark.parametrize("version", ["0.34.2", "0.34.3", "0.34.4"])
def test_a_version_that_runs_code_on_a_request_is_refused_until_it_is_accepted(version: str) -> None:
    assert [row.id for row in releases.refused_for(version, {})] == ["CVE-2026-103663"]
    assert releases.refused_for(version, {version: ("CVE-2026-103663",)}) == ()
    assert releases.refused_for(version, {"0.34.9": ("CVE-2026-103663",)})
    assert releases.refused_for(version, {version: ("CVE-2026-7482",)})


@pytest.mark.parametrize("version", ["0.34.1", "0.35.0", "0.32.14", "0.40.2"])
def test_other_versions_are_not_refused(version: str) -> None:
    assert releases.refused_for(version, {}) == ()


def test_a_build_without_a_number_is_not_judged() -> None:
    assert releases.affecting("0.0.0") == ()
    assert releases.affecting("dev") == ()


def test_the_recommended_release_is_the_last_before_the_migration() -> None:
    assert releases.recommended() == "0.35.1"


def test_the_newest_come_first_with_their_store() -> None:
    rows = {release.version: release for release in releases.releases()}
    assert next(iter(rows)) == "0.40.2"
    assert rows["0.40.0"].store == "manifests-v2"
    assert rows["0.35.1"].store == "manifests"
    assert rows["0.32.7"].architectures == {"amd64"}
