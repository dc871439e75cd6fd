"""Gives each check its hosts and a connection, and records the results."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import testinfra

from reaper_ops.adapters import login as entering
from reaper_ops.core.inventory import complaint
from reaper_ops.verify.expected import Expected
from reaper_ops.verify.server import CheckedServer

EXPECTED = "REAPER_OPS_VERIFY_EXPECTED"
RESULTS = "REAPER_OPS_VERIFY_RESULTS"


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(os.environ[EXPECTED]).read_text(encoding="utf-8"))
    return found


def expected_hosts() -> list[Expected]:
    return [Expected(row["host"], row["settings"], tuple(row["models"])) for row in document()["hosts"]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = list(metafunc.definition.iter_markers("applies_to"))
    wanted = [expected for expected in expected_hosts() if all(mark.args[0](expected) for mark in marks)]
    metafunc.parametrize("expected", wanted, ids=[expected.host for expected in wanted], scope="session")


@pytest.fixture(scope="session")
def host(expected: Expected) -> Any:
    """A testinfra host that has the rights which the checks need."""
    options = {"ansible_inventory": document()["inventory"], "force_ansible": document()["through_ansible"]}
    found = testinfra.get_host(f"ansible://{expected.host}", **options)
    user = login(found)
    if expected.needs_root and user != "0":
        found = testinfra.get_host(f"ansible://{expected.host}", sudo=True, **options)
    return found


def login(host: Any) -> str:
    """Number of the user who logs in; why nobody can is told in the words of every other verb."""
    if document()["through_ansible"]:
        answer = asked(host)
        if "rc" not in answer:
            raise ConnectionError(f"cannot be reached: {why(host, answer)}")
        code, out, errors = answer["rc"], answer["stdout"], answer["stderr"]
    else:
        try:
            done = host.run("id -u")
        except RuntimeError as error:
            said = getattr(error.args[0], "stderr", error) if error.args else error
            raise ConnectionError(f"cannot be reached: {why(host, {'msg': str(said).strip()})}") from None
        code, out, errors = done.rc, done.stdout, done.stderr
    if code != 0:
        raise ConnectionError(f"runs no commands: {(errors or out).strip()}")
    return str(out).strip()


def asked(host: Any) -> dict[str, Any]:
    """Ansible's answer; of a host that it does not reach testinfra quotes the program, and the reason is in there."""
    try:
        answer: dict[str, Any] = host.backend.run_ansible("shell", module_args="id -u", check=False)
    except AssertionError as error:
        message = re.search(r'"msg": "((?:[^"\\]|\\.)*)"', str(error))
        return {"msg": re.sub(r"(?<!\\)(?:\\+[rn])+", "\n", message[1] if message else str(error))}
    return answer


def why(host: Any, answer: dict[str, Any]) -> str:
    variables = host.backend.get_variables()

    def of(*names: str, default: str | None = "") -> str:
        return next((str(variables[name]) for name in names if variables.get(name)), default or "")

    entered = {
        "host": of("ansible_host", default=host.backend.host),
        "user": of("ansible_user", default=os.environ.get("ANSIBLE_REMOTE_USER")),
        "port": of("ansible_port"),
        "key": of(
            *("ansible_ssh_private_key_file", "ansible_private_key_file"),
            default=os.environ.get("ANSIBLE_PRIVATE_KEY_FILE"),
        ),
        "args": " ".join(filter(None, (of("ansible_ssh_common_args"), of("ansible_ssh_extra_args")))),
    }
    event = entering.in_words({"event": "unreachable", "result": answer, "login": entered})
    return complaint.of_result(event["result"])


@pytest.fixture(scope="session")
def server(host: Any, expected: Expected) -> CheckedServer:
    return CheckedServer(host, expected)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    over = report.when == "call" or (report.when == "setup" and not report.passed)
    expected = item.callspec.params.get("expected") if hasattr(item, "callspec") else None
    if over and isinstance(expected, Expected):
        record(item, expected.host, report, call)
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
