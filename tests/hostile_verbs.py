"""Every verb with flows that report, ask and end with hostile values, so that all of its output is printed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import EVENTS, EVIL, filled
from servers import http_server

from reaper_ops.core.inventory.provenance import SettingOrigin
from reaper_ops.core.inventory.settings import names

INVENTORY = ["-i", "INVENTORY"]
ANSWERS = {
    "/api/version": {"version": EVIL},
    "/api/tags": {"models": [{"name": EVIL, "digest": EVIL, "size": 5}, {"name": "s\ud800:1", "digest": "a"}]},
    "/api/ps": {"models": [{"name": EVIL, "digest": EVIL, "size": 5, "size_vram": 5, "expires_at": EVIL}]},
}
GOOD = {**ANSWERS, "/api/version": {"version": "0.35.1"}}


def given(result: Any, *asked: Any) -> Callable[..., Any]:
    """A flow that tells hostile events, asks as the real one does, and ends with a hostile result."""

    def flow(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            if callable(value) and hasattr(value, "pause"):
                for event in EVENTS:
                    value(event)
        for value in (*args, *kwargs.values()):
            if asked and callable(value) and not hasattr(value, "pause"):
                value(*asked)
        return result

    return flow


def made(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return filled(getattr(importlib.import_module(module), name))


def effective() -> Any:
    from dataclasses import replace

    found = made("reaper_ops.core.inventory.provenance.Effective")
    return (replace(found, origins={name: filled(SettingOrigin) for name in names()}),)


def removed() -> Any:
    from reaper_ops.flows.provision.down import Removed

    return Removed({EVIL: {EVIL: [EVIL]}}, {EVIL: {"removed": [EVIL], "kept": [EVIL]}}, {EVIL: EVIL}, applied=True)


def work() -> Any:
    from dataclasses import replace

    row = {"removed": {EVIL: EVIL}, "kept": [EVIL], "freed": 5}
    return replace(made("reaper_ops.core.mirror.work.Work"), results={EVIL: row})


def outcome(verb: str) -> Any:
    from dataclasses import replace

    return replace(made("reaper_ops.core.models.outcome.ModelsOutcome"), verb=verb)


def table() -> Any:
    from reaper_ops.core.models.table import Cell, Table, TableLine

    return Table((EVIL,), (TableLine(EVIL, EVIL, 5, {EVIL: Cell("drift", EVIL, 5)}),), {EVIL: EVIL})


def fixed() -> tuple[Any, Any]:
    """The flow, which asks with the proposals; an action is of ours, everything else of the host."""
    from dataclasses import replace

    found = made(F + "doctor.fix.Fixed")
    outcomes = tuple(replace(one, proposal=replace(one.proposal, action="pull")) for one in found.outcomes)
    return replace(found, outcomes=outcomes), tuple(one.proposal for one in outcomes)


def verification() -> Any:
    from dataclasses import replace

    found = made("reaper_ops.core.provision.verification.Verification")
    return replace(found, checks=tuple(replace(one, outcome="failed") for one in found.checks))


def mirror_status() -> Any:
    from reaper_ops.core.mirror.status import MirrorFinding, Status

    found = MirrorFinding(EVIL, "error", EVIL, EVIL)
    return (Status(EVIL, (found,), {"wan_bytes": 1}, {EVIL: {"whole": True}}, {EVIL: EVIL}), Status(EVIL, problem=EVIL))


def bundle(tmp: Path) -> str:
    """A saved host whose every file is hostile."""
    host = tmp / "bundle" / "gpu1"
    host.mkdir(parents=True)
    line = EVIL.encode("utf-8", "replace").decode()
    (host / "journal.log").write_text(
        f"time=2026-11-26T20:00:00Z level=ERROR msg={line}\nError: listen tcp 127.0.0.1:11434: bind: address already "
        f"in use {line}\nmkdir /var/lib/ollama/models/{line}: permission denied: ensure path elements are traversable\n"
    )
    (host / "systemctl-show.txt").write_text(f"Id=ollama.service\nActiveState=failed\nResult={line}\nUser={line}\n")
    (host / "kernel.log").write_text(f"[ 7.1] Out of memory: Killed process 812 ({line}) total-vm:1kB, anon-rss:9kB\n")
    return str(host)


F = "reaper_ops.flows."
Cases = dict[str, tuple[dict[str, Callable[[], Any]], list[list[str]]]]
TEXT_AND_JSON = [["-o", "text"], ["-o", "json"]]
ALL = [*TEXT_AND_JSON, ["-o", "lines"]]


def forms(*words: str, of: list[list[str]] = TEXT_AND_JSON) -> list[list[str]]:
    return [[*words, *more] for more in of]


def models(flow: str, result: Callable[[], Any], *words: str, of: list[list[str]] = ALL) -> Any:
    return {F + flow: result}, forms(*INVENTORY, *words, of=of)


CASES: Cases = {
    "hosts": ({F + "inventory.hosts.run": lambda: given(effective())}, forms(*INVENTORY, "--all")),
    "plan": ({F + "provision.plan.plan": lambda: given(made(F + "provision.plan.Planned"))}, forms(*INVENTORY)),
    "up": (
        {F + "provision.up.up": lambda: given(made(F + "provision.up.UpOutcome"), made(F + "provision.plan.Planned"))},
        forms(*INVENTORY, "--yes"),
    ),
    "down": ({F + "provision.down.down": lambda: given(removed(), removed().results)}, forms(*INVENTORY, "--yes")),
    "render": (
        {F + "provision.render.render_hosts": lambda: given(((made(F + "provision.render.Rendered"),) * 2, {}))},
        [INVENTORY],
    ),
    "probe": ({}, forms("--url", "URL", of=[*TEXT_AND_JSON, ["-o", "prometheus"]])),
    "doctor": (
        {F + "doctor.fix.fix": lambda: given(fixed()[0], fixed()[0].before, fixed()[1])},
        [
            *forms("--from", "BUNDLE", "-v", of=[["-o", form] for form in ("text", "json", "junit", "nagios")]),
            *forms("--url", "URL", of=[["-o", form] for form in ("text", "json", "junit", "nagios")]),
            *forms(*INVENTORY, "--fix", "--yes"),
            ["--explain", EVIL],
        ],
    ),
    "watch": (
        {F + "health.watch.watch": lambda: lambda *_: iter([made(F + "health.watch.Round")])},
        forms("--url", "URL"),
    ),
    "report": ({}, [["--url", "URL", "--html", "PAGE"]]),
    "verify": (
        {F + "provision.verify.verify": lambda: given(verification())},
        forms(*INVENTORY),
    ),
    "runbook": ({}, [[EVIL]]),
    "auth login": (
        {},
        [["ollama", "--base-url", "URL"], ["ollama", "--base-url", "GOOD"], ["ollama", "--base-url", EVIL]],
    ),
    "auth status": ({}, [[]]),
    "auth logout": ({F + "health.auth.logout": lambda: lambda: EVIL}, [[]]),
    "models sets": (
        {
            "reaper_ops.adapters.ansible.inventory": lambda: given(None),
            "reaper_ops.core.models.desired.sets": lambda: given((made("reaper_ops.core.models.desired.ModelSet"),)),
            "reaper_ops.core.models.desired.desired_models": lambda: given(
                (made("reaper_ops.core.models.desired.DesiredModels"),)
            ),
        },
        forms(*INVENTORY, of=ALL),
    ),
    "models lock": models("models.lock.lock", lambda: given(made("reaper_ops.core.models.lock_update.Locking"))),
    "models update": models("models.lock.update", lambda: given(made("reaper_ops.core.models.lock_update.Locking"))),
    "models plan": models("models.look.planned", lambda: given(made("reaper_ops.core.models.plan.FleetPlan"))),
    "models pull": models("models.pull.pull", lambda: given(outcome("pull"))),
    "models verify": models("models.verify.verify", lambda: given(made("reaper_ops.core.models.contents.Verified"))),
    "models bundle create": models("models.bundle.create", lambda: given(made(F + "models.bundle.Made")), "PAGE"),
    "models bundle load": models("models.bundle.load", lambda: given(outcome("load")), "PAGE"),
    "models create": models(
        "models.create.create", lambda: given((made(F + "models.bundle.Made"), (EVIL,))), EVIL, "PAGE"
    ),
    "models list": models("models.look.listing", lambda: given(table())),
    "models ps": models("models.look.look", lambda: given(made(F + "models.look.HeldModels"))),
    "models rm": models("models.change.remove", lambda: given(outcome("rm"), {EVIL: (EVIL,)}), "--yes", EVIL),
    "models prune": models("models.change.prune", lambda: given(outcome("prune"), {EVIL: (EVIL,)}), "--yes"),
    "models preload": models("models.change.preload", lambda: given(outcome("preload")), EVIL),
    "models mirror up": models("mirror.mirror.up", lambda: given(work(), work()), "--yes", of=TEXT_AND_JSON),
    "models mirror status": models(
        "mirror.mirror.ask", lambda: given(mirror_status()), of=[*TEXT_AND_JSON, ["-o", "prometheus"]]
    ),
    "models mirror gc": models("mirror.mirror.gc", lambda: given(work()), "--verify", of=TEXT_AND_JSON),
    "models mirror down": models("mirror.mirror.down", lambda: given(work()), "--yes", of=TEXT_AND_JSON),
    "lab up": (
        {
            F + "lab.lab.up": lambda: given(made("reaper_ops.lab.world.World")),
            F + "provision.up.up": lambda: given(
                made(F + "provision.up.UpOutcome"), made(F + "provision.plan.Planned")
            ),
            F + "lab.lab.surprises": lambda: given((EVIL,)),
        },
        [[]],
    ),
    "lab down": (
        {
            F + "lab.lab.down": lambda: given(made("reaper_ops.lab.world.World")),
            F + "provision.down.down": lambda: given(removed()),
        },
        [[]],
    ),
    "lab break": ({F + "lab.lab.break_": lambda: given(made("reaper_ops.lab.world.World"))}, [[EVIL, EVIL]]),
    "lab heal": ({F + "lab.lab.heal": lambda: given(made("reaper_ops.lab.world.World"))}, [[EVIL]]),
    "lab status": ({F + "lab.lab.status": lambda: given(made("reaper_ops.lab.world.World"))}, [[]]),
    "lab faults": ({}, [[]]),
    "init": ({}, [["DIRECTORY"]]),
    "releases": ({}, [[], [EVIL]]),
    "schema": ({}, [[]]),
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("REAPER_OPS_INVENTORY", raising=False)
    odd = EVIL.encode("utf-8", "replace").decode().replace("\0", "").replace("/", "")
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"a": {}}}}))
    with http_server(ANSWERS) as evil, http_server(GOOD) as good:
        yield {
            "URL": evil.url,
            "GOOD": good.url,
            "INVENTORY": str(inventory),
            "BUNDLE": bundle(tmp_path),
            "PAGE": str(tmp_path / "page.html"),
            "DIRECTORY": str(tmp_path / odd[:100]),
        }


ROWS = [(verb, place) for verb, (_, argvs) in CASES.items() for place in range(len(argvs))]


def arranged(verb: str, place: int, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of one run of a verb, whose flows are replaced for the length of the test."""
    flows, argvs = CASES[verb]
    for target, flow in flows.items():
        module, _, name = target.rpartition(".")
        monkeypatch.setattr(importlib.import_module(module), name, flow())
    return [*verb.split(), *(places.get(word, word) for word in argvs[place])]
