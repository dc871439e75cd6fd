from __future__ import annotations

import pytest

from reaper_ops.cli.program import run


def test_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runbook", "service-not-running"]) == 0
    assert capsys.readouterr().out.startswith("service-not-running\nOllama is installed, and stopped.")


def test_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runbook"]) == 0
    assert "slow-responses" in capsys.readouterr().out


def test_a_wrong_name_is_the_users_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runbook", "service-not-runing"]) == 2
    assert "did you mean service-not-running" in capsys.readouterr().err
