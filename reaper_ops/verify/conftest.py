"""Gives each check the wishes that it applies to and a connection, and writes down what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import testinfra

from reaper_ops.verify.expected import Expected
from reaper_ops.verify.server import CheckedServer

WISH = "REAPER_OPS_VERIFY_WISH"
RESULTS = "REAPER_OPS_VERIFY_RESULTS"


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(os.environ[WISH]).read_text(encoding="utf-8"))
    return found


def wishes() -> list[Expected]:
    return [Expected(row["host"], row["settings"], tuple(row["models"])) for row in document()["hosts"]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = list(metafunc.definition.iter_markers("applies_to"))
    wanted = [wish for wish in wishes() if all(mark.args[0](wish) for mark in marks)]
    metafunc.parametrize("wish", wanted, ids=[wish.host for wish in wanted], scope="session")


@pytest.fixture(scope="session")
def host(wish: Expected) -> Any:
    """A testinfra host that has the rights which the checks need."""
    options = {"ansible_inventory": document()["inventory"], "force_ansible": document()["through_ansible"]}
    found = testinfra.get_host(f"ansible://{wish.host}", **options)
    user = login(found)
    if wish.needs_root and user != "0":
        found = testinfra.get_host(f"ansible://{wish.host}", sudo=True, **options)
    return found


def login(host: Any) -> str:
    """Number of the user who logs in; testinfra raises what its SSH said, or Ansible's answer without a result."""
    try:
        done = host.run("id -u")
    except RuntimeError as error:
        said = getattr(error.args[0], "stderr", error) if error.args else error
        raise ConnectionError(f"cannot be reached: {str(said).strip()}") from None
    except KeyError:
        raise ConnectionError("cannot be reached through Ansible; `ansible HOST -m ping` says why") from None
    if done.rc != 0:
        raise ConnectionError(f"runs no commands: {(done.stderr or done.stdout).strip()}")
    return str(done.stdout).strip()


@pytest.fixture(scope="session")
def server(host: Any, wish: Expected) -> CheckedServer:
    return CheckedServer(host, wish)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    over = report.when == "call" or (report.when == "setup" and not report.passed)
    wish = item.callspec.params.get("wish") if hasattr(item, "callspec") else None
    if over and isinstance(wish, Expected):
        record(item, wish.host, report, call)
    return report


def record(item: pytest.Function, name: str, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    broken = report.failed and call.excinfo is not None and not call.excinfo.errisinstance(AssertionError)
    outcome = "unknown" if broken else report.outcome
    title = (item.function.__doc__ or item.originalname).strip().rstrip(".")
    slug = item.originalname.removeprefix("check_").replace("_", "-")
    row = {"host": name, "id": slug, "title": title, "outcome": outcome, "detail": detail(report, call)}
    with Path(os.environ[RESULTS]).open("a", encoding="utf-8") as results:
        results.write(json.dumps(row) + "\n")


def detail(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    """The check's own words, without pytest's comparison below them."""
    if report.passed or call.excinfo is None:
        return ""
    text = str(call.excinfo.value).split("\nassert ")[0]
    kind = "" if isinstance(call.excinfo.value, AssertionError | ConnectionError) else f"{call.excinfo.typename}: "
    return kind + (text.strip() or call.excinfo.typename)
