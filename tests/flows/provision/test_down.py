"""`down` removes what was shown; a host that has more by then is left alone and named."""

from __future__ import annotations

from typing import Any

import pytest

from reaper_ops import assets
from reaper_ops.adapters.ansible import Run, Source
from reaper_ops.cli.provision import down as cli
from reaper_ops.core.facts.model import Facts, System
from reaper_ops.flows.inventory.gather import Gathered
from reaper_ops.flows.provision import down

SHOWN = {"packages": ["zstd"], "state": "done"}


Row = dict[str, list[str]]


def host(monkeypatch: pytest.MonkeyPatch, foreseen: Row | str, result: Row) -> list[dict[str, Any]]:
    """Host a with a manifest and b without; what a says in check mode (text: it fails) and then. The runs, in order."""
    runs: list[dict[str, Any]] = []

    def playbook(name: str, source: Source, *, on_event: Any, **given: Any) -> Run:
        runs.append(given)
        row = foreseen if given["check"] else result
        if isinstance(row, str):
            event = {"event": "failed", "host": "a", "id": "manifest/remove", "result": {"msg": row}}
            return Run((event,), failed={"a": row})
        return Run(({"event": "ok", "host": "a", "id": "manifest/remove", "result": row},))

    facts = {name: Facts(name, System(), manifest=SHOWN if name == "a" else None) for name in "ab"}
    monkeypatch.setattr(down, "survey", lambda source, on_event=None: (None, Gathered(facts)))
    monkeypatch.setattr(down.ansible, "playbook", playbook)
    return runs


def test_what_was_shown_goes_along_and_more_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"removed": ["package zstd"], "kept": [], "withheld": []}
    runs = host(monkeypatch, there, {"removed": [], "kept": [], "withheld": ["packages vim: was not shown"]})
    removed = down.down(Source(("x",)), confirm=lambda _: True)
    assert [run["check"] for run in runs] == [True, False]
    assert [run["limit"] for run in runs] == ["a", "a"]
    assert runs[1]["variables"]["reaper_shown"] == {"a": SHOWN}
    assert removed.exit_code == 4
    assert cli._text(removed).splitlines() == [
        "a: changed since it was shown: packages vim: was not shown",
        "a: nothing was removed; `reaper-ops down` shows it again",
    ]
    assert '"withheld": {\n  "a"' in cli._json(removed)


def test_only_what_is_there_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest of an `up` that failed early names much that never came."""
    shown: list[str] = []
    there = {"removed": ["file /etc/a", "directory /var/lib/a"], "kept": ["models /m: models stay"], "withheld": []}
    runs = host(monkeypatch, there, there)
    removed = down.down(Source(("x",)), confirm=lambda found: bool(shown.append(cli._foreseen(found))))
    assert shown == ["a:\n  remove file /etc/a\n  remove directory /var/lib/a\n  keep models /m: models stay"]
    assert [run["check"] for run in runs] == [True]
    assert not removed.applied
    assert cli._text(removed) == "nothing was removed"


def test_hosts_of_which_the_same_is_true_are_told_together() -> None:
    one, none = {"removed": ["file /x"], "kept": []}, {"removed": [], "kept": []}
    assert cli._foreseen({"a": one, "b": none, "c": one}).splitlines() == [
        "a, c:",
        "  remove file /x",
        "b:",
        "  remove only the record of what was intended; nothing of it is there",
    ]


def test_a_host_that_cannot_say_what_is_there_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = host(monkeypatch, "dpkg does not answer", {})
    removed = down.down(Source(("x",)), confirm=lambda _: True)
    assert [run["check"] for run in runs] == [True]
    assert removed.problems == {"a": "dpkg does not answer"}
    assert removed.exit_code == 3


def test_what_was_taken_over_is_given_back_and_not_removed() -> None:
    """In the module's own words, which are read here as text: it runs on the host."""
    words = assets.collection("plugins/module_utils/reaper_removal.py").read_text()
    assert all(f'"{kind.strip()}",' in words for kind in cli.GIVEN_BACK)
    found = cli._foreseen({"a": {"removed": ["adopted unit ollama.service", "unit x.service"], "kept": []}})
    assert found.splitlines() == ["a:", "  give back unit ollama.service, as it was", "  remove unit x.service"]
    found = cli._foreseen({"a": {"removed": ["replacement of container guide-ollama-1"], "kept": []}})
    assert found.splitlines() == ["a:", "  give back container guide-ollama-1, as it was"]
