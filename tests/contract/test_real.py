"""Says in the summary whether the contract was held against a real server."""

from __future__ import annotations

import pytest
from subject import REAL_BIN, REAL_URL, ask


@pytest.mark.skipif(not REAL_URL, reason="contract: no real server to ask, REAPER_OPS_OLLAMA_URL is not set")
def test_a_real_server_was_asked() -> None:
    assert "lab" not in ask(REAL_URL, "GET", "/api/version").json()["version"]


@pytest.mark.skipif(not REAL_BIN, reason="contract: no real server to start, REAPER_OPS_OLLAMA_BIN is not set")
def test_a_real_server_was_started() -> None:
    with open(REAL_BIN, "rb") as file:
        assert file.read(4) == b"\x7fELF"
