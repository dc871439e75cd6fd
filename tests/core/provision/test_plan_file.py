"""Plan files: exactly that plan or a refusal with the difference; a damaged file is one clear error; no secrets."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reaper_ops import __version__
from reaper_ops.adapters import plan_file as adapter
from reaper_ops.core.facts.gpu_chain import Gpu, PciGpu
from reaper_ops.core.facts.model import Facts, HostFile, System
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import choices, desired_state, plan_file
from reaper_ops.core.provision.plan_file import NOT_IN_FILE, PlanFile, PlannedHost
from reaper_ops.errors import ReaperError

BARE = Facts("gpu1", System(os_id="debian", version_id="13", arch="x86_64", init="systemd", uid=0, machine="aa"))
CARD = Gpu(pci=(PciGpu("0000:01:00.0", "10de", "2231"),), modules=("nvidia", "nvidia_uvm"), driver="580.95")
WANTED = Settings(ollama_models=["tiny:latest"])


def made(settings: Settings = WANTED, facts: Facts = BARE, models: str = "") -> PlanFile:
    intent = desired_state.derive(settings, facts)
    known = choices.confirm(intent, choices.of(intent))
    hosts = {facts.host: PlannedHost(plan_file.settings_digests(settings), known)}
    return PlanFile("2026-01-01T00:00:00+00:00", __version__, models, hosts)


TEXT = plan_file.dump(made())


def test_what_is_written_is_read() -> None:
    assert plan_file.parse("f", TEXT, __version__) == made()
    assert made().differences(made(), "gpu1") == ()


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (made(WANTED.model_copy(update={"ollama_version": "0.32.13"})), "ollama_version: another value"),
        (made(WANTED.model_copy(update={"ollama_port": 11500})), "ollama_port: another value"),
        (made(facts=replace(BARE, gpu=CARD)), "gpu/modules "),
        (made(facts=replace(BARE, system=replace(BARE.system, machine="bb"))), "it is another machine"),
        (made(models="other lock"), "models.lock or the site mirror"),
        (
            made(
                facts=replace(BARE, files={"/usr/local/bin/ollama": HostFile("/usr/local/bin/ollama", None, link="/x")})
            ),
            "",
        ),
    ],
)
def test_a_difference_is_named(now: PlanFile, told: str) -> None:
    found = made().differences(now, "gpu1")
    assert any(line.startswith(told) for line in found) if told else found == (), found


def test_a_host_that_is_not_in_the_file_is_refused_and_one_with_nothing_to_do_is_not() -> None:
    other = replace(made(), hosts={"gpu2": made().hosts["gpu1"]})
    assert made().differences(other, "gpu2") == (NOT_IN_FILE,)
    assert made().differences(replace(made(), hosts={}), "gpu1") == ()


@given(st.integers(0, len(TEXT) - 3))
def test_a_file_that_was_cut_off_is_one_clear_error(at: int) -> None:
    with pytest.raises(ReaperError) as found:
        plan_file.parse("f", TEXT[:at], __version__)
    assert found.value.exit_code == 2
    assert "plan --out" in str(found.value)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in rows for place in places(one, (*path, key)))]


PLACES = [path for path in places(json.loads(TEXT)) if path]


@given(st.sampled_from(PLACES), st.sampled_from([None, 1, "", [], {}, 10**30]))
def test_a_file_that_was_tampered_with_is_one_clear_error(path: tuple[Any, ...], value: Any) -> None:
    document = json.loads(TEXT)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if inner[path[-1]] == value:
        return
    inner[path[-1]] = value
    with pytest.raises(ReaperError):
        plan_file.parse("f", json.dumps(document), __version__)


@given(st.sampled_from(PLACES), st.sampled_from([None, 1, [], {"a": 1}, [[]]]))
def test_a_file_with_a_digest_that_fits_is_still_read_with_care(path: tuple[Any, ...], value: Any) -> None:
    """Whoever makes the digest anew gets a plan that may be poorer, or an error; never a traceback."""
    document = json.loads(TEXT)
    document.pop("digest")
    inner = document
    for key in path[:-1]:
        inner = inner.get(key, {}) if isinstance(inner, dict) else inner[key]
    if isinstance(inner, dict) and path != ("digest",):
        inner[path[-1]] = value
    forged = {**document, "digest": plan_file.confirmed.digest(document)}
    try:
        read = plan_file.parse("f", json.dumps(forged), __version__)
    except ReaperError:
        return
    read.differences(made(), "gpu1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TEXT.replace(f'"reaper_ops": "{__version__}"', '"reaper_ops": "9.9.9"'), "was made by reaper_ops 9.9.9"),
        (TEXT.replace("plan-file/1", "plan-file/2"), "is not a plan file of a form that this version knows"),
        (TEXT.replace("another", "an other"), "was changed after it was written") if "another" in TEXT else (
            TEXT.replace('"made": "2026', '"made": "2025'), "was changed after it was written"),
        ("[" * 100_000, "is not a whole plan file"),
        ("9" * 10_000, "is not a whole plan file"),
        ("[]", "is not a plan file"),
    ],
)  # fmt: skip
def test_each_damage_has_its_sentence(text: str, told: str) -> None:
    with pytest.raises(ReaperError, match=told):
        plan_file.parse("f", text, __version__)


def test_the_file_is_for_its_owner_alone_and_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        adapter.write(path, made())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]
    assert adapter.read(path) == made()


def test_what_is_no_file_of_ours_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ReaperError, match="is not a regular file"):
        adapter.read(tmp_path / "fifo")
    with pytest.raises(ReaperError, match="cannot be read"):
        adapter.read(tmp_path / "none")
    monkeypatch.setattr(adapter, "MOST_BYTES", 1 << 20)
    (tmp_path / "large").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ReaperError, match="is larger than 1 MiB"):
        adapter.read(tmp_path / "large")


def test_no_secret_is_in_the_file() -> None:
    settings = Settings(
        ollama_release_url="https://me:canary-1@mirror.example/x",
        ollama_https_proxy="http://me:canary-2@proxy:3128",
        ollama_models=["tiny:latest"],
    )
    text = plan_file.dump(made(settings))
    assert "canary" not in text
    assert plan_file._plain("ollama_env", {"S3_SECRET_V2": ["canary"], "A": "b"}) == {"S3_SECRET_V2": ["***"], "A": "b"}
    other = settings.model_copy(update={"ollama_https_proxy": "http://me:canary-9@proxy:3128"})
    assert plan_file.settings_digests(other) == plan_file.settings_digests(settings)
    assert made(settings).differences(made(other), "gpu1") != ()
