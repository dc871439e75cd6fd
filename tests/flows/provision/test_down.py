"""`down` removes what was shown; a host that has more by then is left alone and named."""

from __future__ import annotations

from typing import Any

import pytest

from reaper_ops.adapters.ansible import Run, Source
from reaper_ops.cli.provision import down as cli
from reaper_ops.core.facts.model import Facts, System
from reaper_ops.flows.inventory.gather import Gathered
from reaper_ops.flows.provision import down

SHOWN = {"packages": ["zstd"], "state": "done"}


def test_what_was_shown_goes_along_and_more_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def playbook(name: str, source: Source, *, limit: str, variables: dict[str, Any], on_event: Any) -> Run:
        given.update(variables)
        row = {"removed": [], "kept": [], "withheld": ["packages vim: was not shown"]}
        return Run(({"event": "ok", "host": "a", "id": "manifest/remove", "result": row},))

    facts = {name: Facts(name, System(), manifest=SHOWN if name == "a" else None) for name in "ab"}
    monkeypatch.setattr(down, "survey", lambda source, on_event=None: (None, Gathered(facts)))
    monkeypatch.setattr(down.ansible, "playbook", playbook)
    removed = down.down(Source(("x",)), confirm=lambda owned: True)
    assert given["reaper_shown"] == {"a": SHOWN}
    assert removed.exit_code == 4
    assert cli._text(removed).splitlines() == [
        "a: changed since it was shown: packages vim: was not shown",
        "a: nothing was removed; `reaper-ops down` shows it anew",
    ]
    assert '"withheld": {\n  "a"' in cli._json(removed)
