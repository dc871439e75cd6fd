"""Exit codes of `verify`: a failed check outweighs one that could not be made."""

import json

import pytest

from reaper_ops.core.provision.verification import Verification, VerifyCheck
from reaper_ops.formats.provision import verification_json, verification_text

CASES = [
    (("passed", "skipped"), "healthy", 0),
    (("passed", "failed", "unknown"), "error", 3),
    (("passed", "unknown"), "unknown", 5),
    ((), "unknown", 5),
]


def verification(outcomes: tuple[str, ...]) -> Verification:
    return Verification(
        ("a",),
        tuple(VerifyCheck("a", f"c{n}", f"Title {n}", outcome, f"why {n}") for n, outcome in enumerate(outcomes)),
    )


@pytest.mark.parametrize(("outcomes", "status", "code"), CASES)
def test_status(outcomes: tuple[str, ...], status: str, code: int) -> None:
    found = verification(outcomes)
    assert (found.status, found.exit_code) == (status, code)
    assert json.loads(verification_json.render(found))["exit_code"] == code
    assert f"(exit {code})" in verification_text.render(found)


def test_text_gives_the_reason_of_each_failure() -> None:
    text = verification_text.render(verification(("passed", "failed")))
    assert "pass  Title 0" in text
    assert "FAIL  Title 1\n        why 1" in text
    assert "why 0" not in text


def test_a_host_that_cannot_be_reached_is_one_line() -> None:
    checks = tuple(VerifyCheck("a", f"c{n}", "Title", "unknown", "cannot be\nreached") for n in range(3))
    assert verification_text.render(Verification(("a",), checks)).splitlines()[:2] == ["a", "  ????  cannot be reached"]
