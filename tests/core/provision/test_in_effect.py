"""Whose setting of a unit counts, and what of it undoes ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import Facts, Holder, HostFile, Process, Unit, UnitFile
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import desired_state, in_effect, render
from reaper_ops.core.provision.in_effect import DROPIN, FORMER, UNIT
from reaper_ops.core.provision.plan import Plan

BASES = json.loads((Path(__file__).parents[2] / "cases" / "plan" / "bases.json").read_text())
VENDOR = UnitFile(UNIT, "unit", "[Service]\nExecStart=/usr/local/bin/ollama serve\nUser=ollama\n")
OWN = UnitFile(UNIT, "unit", f"# {in_effect.MARKER}\n[Service]\nExecStart=/opt/ollama/current/bin/ollama serve\n")
ADOPT = Settings(ollama_adopt=True)


def drop_in(name: str, body: str, kind: str = "drop-in", folder: str = f"{UNIT}.d") -> UnitFile:
    return UnitFile(f"{folder}/{name}", kind, f"[Service]\n{body}\n" if kind == "drop-in" else body)


def host(*files: UnitFile, **more: object) -> Facts:
    facts = codec.load("case", BASES["installed"])
    there = {file.path: HostFile(file.path, file.content) for file in files if file.path == UNIT}
    unit = Unit("ollama.service", {"LoadState": "loaded", "ActiveState": "active", "User": "ollama"})
    return replace(facts, unit_files=files, files={**facts.files, **there}, unit=unit, **more)  # type: ignore[arg-type]


def plan(settings: Settings, facts: Facts) -> Plan:
    return desired_state.derive(settings, facts).plan


def reason(found: Plan, target: str) -> str:
    return next(action.reason for action in found.actions if action.target == target)


def test_adoption_says_which_settings_of_others_it_overrides_and_whose_they_are() -> None:
    found = plan(ADOPT, host(VENDOR, drop_in("override.conf", 'Environment="OLLAMA_HOST=0.0.0.0" "FOO=1"')))
    assert f"overrides OLLAMA_HOST=0.0.0.0 of {UNIT}.d/override.conf" in reason(found, DROPIN)
    assert "FOO" not in reason(found, DROPIN)
    assert not found.blockers


def test_our_settings_sort_after_those_that_people_write() -> None:
    for name in ("override.conf", "99-local.conf", "local.conf", "z.conf", "z-last.conf"):
        assert sorted((name, DROPIN.rsplit("/", 1)[1]))[-1] == "zz-reaper_ops.conf"


def test_an_environment_file_that_contradicts_is_no_longer_read_and_what_else_it_held_is_named() -> None:
    file = UnitFile("/etc/default/ollama", "environment", "OLLAMA_HOST=0.0.0.0\nSITE_TAG=x\n")
    found = host(VENDOR, drop_in("override.conf", "EnvironmentFile=-/etc/default/ollama"), file)
    text = reason(plan(ADOPT, found), DROPIN)
    assert "overrides OLLAMA_HOST=0.0.0.0 of /etc/default/ollama" in text
    assert text.endswith("no longer reads /etc/default/ollama: if it needs SITE_TAG, set it in `ollama_env`")
    assert "\nEnvironmentFile=\n" in render.files(ADOPT, found)[DROPIN]


def test_an_environment_file_that_does_not_contradict_stays() -> None:
    file = UnitFile("/etc/default/ollama", "environment", "SITE_TAG=x\n")
    found = host(VENDOR, drop_in("override.conf", "EnvironmentFile=/etc/default/ollama"), file)
    assert "EnvironmentFile=" not in render.files(ADOPT, found)[DROPIN]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("UnsetEnvironment=OLLAMA_HOST", "UnsetEnvironment="),
        (
            "ExecStart=\nExecStart=/usr/bin/strace /usr/local/bin/ollama serve",
            "ExecStart=/opt/ollama/current/bin/ollama",
        ),
        ("User=root", "User=ollama"),
    ],
)
def test_what_a_drop_in_takes_from_our_own_unit_is_put_back(body: str, line: str) -> None:
    text = render.files(Settings(), host(OWN, drop_in("override.conf", body)))[DROPIN]
    assert f"\n{line}" in text
    assert f"\n{line}" not in render.files(Settings(), host(OWN))[DROPIN]


def test_a_drop_in_that_sorts_after_ours_stops_the_run_and_the_command_moves_it() -> None:
    found = plan(Settings(), host(OWN, drop_in("zzz.conf", "Environment=OLLAMA_HOST=0.0.0.0:11434")))
    assert len(found.blockers) == 1
    assert "OLLAMA_HOST=0.0.0.0:11434 (OLLAMA_HOST=127.0.0.1:11434 is desired)" in found.blockers[0]
    assert f"`sudo mv {UNIT}.d/zzz.conf {UNIT}.d/50-zzz.conf`" in found.blockers[0]
    assert not plan(Settings(), host(OWN, drop_in("zzz.conf", "MemoryMax=1G"))).blockers


def settled(*files: UnitFile, environ: dict[str, str] | None = None, **more: object) -> Facts:
    facts = host(OWN, *files)
    intent = desired_state.derive(Settings(), facts)
    written = {file.path: HostFile(file.path, file.content) for file in intent.files}
    process = Process(7, "/opt/ollama/0.35.1/bin/ollama", {**intent.context["environment"], **(environ or {})})
    return replace(facts, files={**facts.files, **written}, process=process, **more)  # type: ignore[arg-type]


def restart(facts: Facts) -> str:
    found = [action.reason for action in plan(Settings(), facts).actions if action.id == "ollama/restart"]
    return found[0] if found else ""


def test_a_server_that_runs_as_desired_is_left_alone() -> None:
    assert (
        restart(settled(listening=(Holder("127.0.0.1", 11434, 7, ours=True), Holder("127.0.0.1", 4711, 8, ours=True))))
        == ""
    )


def test_what_runs_is_compared_and_not_what_our_file_says() -> None:
    assert "OLLAMA_HOST=0.0.0.0" in restart(settled(environ={"OLLAMA_HOST": "0.0.0.0"}))
    assert "listens on 0.0.0.0:11434" in restart(settled(listening=(Holder("0.0.0.0", 11434, 7, ours=True),)))
    assert "listens on [::]:8080" in restart(settled(listening=(Holder("::", 8080, 7, ours=True),)))
    gone = replace(settled(), process=replace(settled().process, exe="/opt/ollama/0.32.13/bin/ollama (deleted)"))  # type: ignore[type-var]
    assert "no longer there" in restart(gone)


@pytest.mark.parametrize(("known", "goes"), [("same", True), ("other", False)])
def test_the_former_drop_in_goes_only_as_we_wrote_it(known: str, goes: bool) -> None:
    old = HostFile(FORMER, f"# {in_effect.MARKER}\n", sha256="same")
    facts = settled()
    facts = replace(facts, files={**facts.files, FORMER: old}, manifest={"files": {FORMER: known}})
    assert ("ollama/former-settings" in plan(Settings(), facts).todo) is goes


def test_the_last_of_all_files_counts_for_a_server_that_does_not_run() -> None:
    files = (
        VENDOR,
        drop_in("a.conf", "Environment=OLLAMA_MODELS=/one"),
        drop_in("b.conf", "Environment=\nEnvironment=OLLAMA_MODELS=/two"),
        drop_in("c.conf", "EnvironmentFile=/etc/default/ollama"),
        UnitFile("/etc/default/ollama", "environment", 'OLLAMA_MODELS="/three"\n'),
    )
    assert in_effect.environment(host(*files[:3])) == {"OLLAMA_MODELS": "/two"}
    assert render.context(ADOPT, host(*files))["models_dir"] == "/three"
