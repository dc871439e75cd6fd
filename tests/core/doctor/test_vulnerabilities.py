"""The table of known vulnerabilities: each row is decidable and says where it is from."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reaper_ops import assets
from reaper_ops.core.inventory.environment import version_key

TABLE = assets.data("vulnerabilities.json")


@pytest.mark.parametrize("row", TABLE["known"], ids=lambda row: row["id"])
def test_a_row_has_one_bound_and_a_source(row: dict[str, Any]) -> None:
    assert re.fullmatch(r"CVE-20\d\d-\d{4,6}", row["id"])
    assert (row["fixed"] is None) != (row["through"] is None)
    assert len(version_key(row["fixed"] or row["through"])) == 3
    assert row["source"].startswith("https://")
    assert row["what"]


def test_each_id_once() -> None:
    ids = [row["id"] for row in TABLE["known"]] + list(TABLE["not_by_version"])
    assert len(ids) == len(set(ids))


def test_a_lower_bound_is_a_release_below_the_upper_one() -> None:
    for row in TABLE["known"]:
        if row["since"] is not None:
            assert version_key(row["since"]) < version_key(row["fixed"] or row["through"])
