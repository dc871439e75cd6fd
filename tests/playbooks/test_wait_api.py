"""Waiting for a server: until it answers as expected, until it cannot any more, or until the deadline; never longer."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reaper_ops import assets

PLUGIN = assets.collection("plugins/action") / "wait_api.py"


class Answers(http.server.BaseHTTPRequestHandler):
    answers: list[tuple[int, bytes]]

    def do_GET(self) -> None:
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        return


@pytest.fixture
def serve() -> Iterator[Any]:
    servers = []

    def start(*answers: tuple[int, bytes]) -> str:
        handler = type("Handler", (Answers,), {"answers": list(answers)})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/health"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def programs(tmp_path: Path, **texts: str) -> dict[str, str]:
    """An environment in which these programs print these texts."""
    for name, text in texts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        (tmp_path / name).chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def test_it_waits_for_an_answer_that_is_as_expected(module: Any, serve: Any) -> None:
    url = serve((503, b""), (200, b"{}"), (200, b'{"config": "old"}'), (200, b'{"config": "new"}'))
    answer = module(url=url, expect={"config": "new"}, seconds=20)
    assert (answer["answered"], answer["last"], answer["dead"], answer["changed"]) == (True, "status 200", "", False)


@pytest.mark.parametrize(
    ("status", "body", "last"),
    [
        (503, b"", "status 503"),
        (200, b"<html>", "an answer that is not JSON"),
        (200, b"[]", "an answer of another kind"),
        (200, b'{"config": "old"}', "status 200, but another config"),
    ],
)
def test_what_was_answered_last_is_told(module: Any, serve: Any, status: int, body: bytes, last: str) -> None:
    answer = module(url=serve((status, body)), expect={"config": "new"}, seconds=2)
    assert (answer["answered"], answer["last"]) == (False, last)


def test_a_refused_connection_is_told_in_words(module: Any) -> None:
    answer = module(url="http://127.0.0.1:9/x", seconds=0)
    assert (answer["answered"], answer["last"]) == (False, "Connection refused")


UNIT = "ActiveState={}\nSubState=x\nResult=exit-code\nExecMainStatus=2\nNRestarts={}"
WAITING = {"url": "http://127.0.0.1:9/x", "seconds": 0}


def test_a_failed_unit_ends_the_wait_with_what_it_wrote(module: Any, tmp_path: Path) -> None:
    env = programs(tmp_path, systemctl=UNIT.format("failed", 0), journalctl="one\nbind: address already in use")
    answer = module(**WAITING, units=["ollama.service"], env=env)
    said = "ollama.service has failed (result exit-code, exit status 2): one | bind: address already in use"
    assert answer["dead"] == said


def test_a_unit_that_keeps_crashing_ends_the_wait_and_a_single_restart_does_not(module: Any, tmp_path: Path) -> None:
    env = programs(tmp_path, systemctl=UNIT.format("activating", 9), journalctl="boom")
    first = module(**WAITING, units=["a.service"], env=env)
    assert (first["dead"], first["restarts"]) == ("", {"a.service": 9})
    assert module(**WAITING, units=["a.service"], restarts={"a.service": 8}, env=env)["dead"] == ""
    later = module(**WAITING, units=["a.service"], restarts={"a.service": 6}, env=env)
    assert later["dead"] == "a.service keeps crashing (result exit-code, exit status 2): boom"


def test_a_container_that_has_ended_ends_the_wait(module: Any, tmp_path: Path) -> None:
    script = '#!/bin/sh\n[ "$1" = inspect ] && echo "exited 137 0" || echo "out of memory"\n'
    (tmp_path / "docker").write_text(script)
    (tmp_path / "docker").chmod(0o755)
    answer = module(**WAITING, containers=["ollama"], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert answer["dead"] == "container ollama exited with exit code 137: out of memory"


def test_a_process_that_is_gone_ends_the_wait(module: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("starting\npanic: no\n")
    spec = {"argv": [sys.executable, "-c", "nothing of the kind"], "log": str(log), "pid": str(tmp_path / "pid")}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    answer = module(**WAITING, spec=str(tmp_path / "spec.json"))
    assert answer["dead"] == "the process has exited: starting | panic: no"


class Clock:
    """Time that passes only where a turn is waited for."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("action_wait_api", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    monkeypatch.setattr(found.ActionBase, "run", lambda self, tmp, task_vars: {})
    return found


def waited(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], **args: Any) -> Any:
    """The result, the turns in seconds, and what was told meanwhile; a turn takes a second longer than it says."""
    clock, turns, told = Clock(), [], []
    monkeypatch.setattr(plugin, "time", clock)
    monkeypatch.setattr(plugin, "tell", lambda host, text: told.append(text))

    def execute(module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        turns.append(module_args["seconds"])
        clock.now += module_args["seconds"] + 1
        base = {"answered": False, "last": "Connection refused", "dead": "", "restarts": {}}
        return {**base, **(answers.pop(0) if answers else {})}

    action = object.__new__(plugin.ActionModule)
    action._task = type("Task", (), {"args": {"url": "http://h/x", **args}})()
    action._execute_module = execute
    return action.run(None, {"inventory_hostname": "gpu1"}), turns, told


def test_the_deadline_is_kept_whatever_a_turn_costs(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    result, turns, told = waited(plugin, monkeypatch, [], timeout=20, next_step="look there")
    assert result["failed"]
    assert result["msg"] == "http://h/x did not answer within 20 s; last answer: Connection refused"
    assert result["next_step"] == "look there"
    assert sum(seconds + 1 for seconds in turns) <= 20 + 1
    assert told == [f"waiting for http://h/x: {n} of 20 s; last answer: Connection refused" for n in (6, 12, 18)]


def test_what_is_dead_is_not_waited_for(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, Any]] = [{}, {"dead": "a.service has failed"}]
    result, turns, _ = waited(plugin, monkeypatch, answers, timeout=120, next_step="wait longer")
    assert (result["failed"], result["next_step"]) == (True, "")
    assert result["msg"] == "http://h/x does not answer (Connection refused): a.service has failed"
    assert len(turns) == 2


def test_an_answer_ends_the_wait(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    result, turns, told = waited(plugin, monkeypatch, [{"answered": True, "last": "status 200"}], timeout=120)
    assert "failed" not in result
    assert (len(turns), told, result["changed"]) == (1, [], False)


def test_no_playbook_waits_by_counting_attempts() -> None:
    texts = {path: path.read_text() for path in PLUGIN.parents[1].rglob("*.yml")}
    assert [str(path) for path, text in texts.items() if "until:" in text] == []
