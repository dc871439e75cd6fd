"""Loads into memory: one that has begun is not ended by who asked for it."""

from __future__ import annotations

import json
import select
import signal
import threading
from typing import Any

import pytest
from servers import OLLAMA, http_server


class Loading:
    """A load that lasts until it is told to end, or until its client hangs up, as the server has it."""

    def __init__(self) -> None:
        self.begun, self.end, self.heard = threading.Event(), threading.Event(), threading.Event()
        self.hung_up = False

    def __call__(self, handler: Any) -> None:
        self.begun.set()
        while not (self.end.is_set() or self.hung_up):
            self.hung_up = bool(select.select([handler.connection], [], [], 0.02)[0])
        if not self.hung_up:
            self.answer(handler)
        self.heard.set()

    def answer(self, handler: Any) -> None:
        data = json.dumps({"done": True}).encode()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_load_goes_on_when_the_module_is_stopped(module: Any, number: int) -> None:
    load = Loading()
    with http_server({**OLLAMA, "/api/generate": load}) as server:
        started = module.start(url=server.url, preload=["tiny:1m"])
        assert load.begun.wait(30)
        started.process.send_signal(number)
        started.process.communicate(timeout=30)
        load.end.set()
        assert load.heard.wait(30)
    assert not load.hung_up


def test_what_a_load_says_is_told(module: Any) -> None:
    with http_server({**OLLAMA, "/api/generate": {"done": True}}) as server:
        assert module(url=server.url, preload=["tiny:1m"])["models"][0]["changed"]
    refusal = (500, {"error": "llama-server process has terminated"})
    with http_server({**OLLAMA, "/api/generate": refusal}) as server:
        said = module.fails(url=server.url, preload=["tiny:1m"])
    assert "the server answers 500: llama-server process has terminated" in said
    assert "`reaper-ops doctor` finds out why" in said
