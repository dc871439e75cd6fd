"""apt itself, with directories and an archive of the test alone: what does not work with the others is taken back."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reaper_ops import assets

PLAYBOOKS = assets.collection()
pytestmark = pytest.mark.skipif(not (shutil.which("apt-get") and shutil.which("gpg")), reason="needs apt and gpg")


def key(tmp_path: Path, name: str) -> Path:
    home = tmp_path / f"gpg-{name}"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
    words = ["--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never"]
    subprocess.run([*gpg, *words], check=True, capture_output=True)
    path = tmp_path / f"{name}.asc"
    path.write_bytes(subprocess.run([*gpg, "--armor", "--export", name], check=True, capture_output=True).stdout)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Path]:
    """A flat archive, signed by the key `right`."""
    place = tmp_path / "archive"
    place.mkdir()
    (place / "Packages").write_text("")
    digest = hashlib.sha256(b"").hexdigest()
    (place / "Release").write_text(
        f"Origin: test\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {digest} 0 Packages\n"
    )
    key(tmp_path, "right"), key(tmp_path, "wrong")
    words = ["--clearsign", "--output", place / "InRelease", place / "Release"]
    subprocess.run(["gpg", "--homedir", tmp_path / "gpg-right", "--batch", "--quiet", *words], check=True)
    yield place
    for home in tmp_path.glob("gpg-*"):
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


@pytest.fixture
def name(tmp_path: Path, archive: Path) -> Callable[..., dict[str, Any]]:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    state, cache = tmp_path / "state", tmp_path / "cache"
    for directory in (state / "lists/partial", cache / "archives/partial"):
        directory.mkdir(parents=True)
    options = [f"Dir::Etc::sourceparts={parts}", "Dir::Etc::sourcelist=/dev/null", "APT::Sandbox::User="]
    options += [f"Dir::State={state}", f"Dir::Cache={cache}", "Dir::State::status=/dev/null"]
    options += ["Acquire::AllowInsecureRepositories=false"]

    def call(signed_by: str, check: bool = False) -> dict[str, Any]:
        text = f"Types: deb\nURIs: file:{archive}\nSuites: /\nSigned-By: {tmp_path}/{signed_by}.asc\n"
        arguments = {
            "path": str(parts / "ours.sources"),
            "content": text,
            "options": options,
            "_ansible_check_mode": check,
        }
        code = (
            "import json, runpy, sys; from ansible.module_utils import basic\n"
            f"sys.path.append({str(assets.collections())!r})\n"
            "basic._ANSIBLE_ARGS = sys.stdin.buffer.read(); basic._ANSIBLE_PROFILE = 'legacy'\n"
            f"runpy.run_path({str(PLAYBOOKS / 'plugins/modules/apt_source.py')!r}, run_name='__main__')"
        )
        given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
        done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return call


def test_a_source_that_works_is_written_once(name: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert name("right", check=True)["changed"]
    assert not (tmp_path / "sources.list.d/ours.sources").exists()
    assert name("right")["changed"]
    assert (tmp_path / "sources.list.d/ours.sources").exists()
    assert not name("right")["changed"]


def test_a_source_beside_the_vendors_with_another_key_is_taken_back(
    name: Callable[..., dict[str, Any]], archive: Path, tmp_path: Path
) -> None:
    vendor = tmp_path / "sources.list.d/vendor.list"
    vendor.write_text(f"deb [signed-by={tmp_path}/right.asc] file:{archive} /\n")
    (tmp_path / "copy.asc").write_bytes((tmp_path / "right.asc").read_bytes())
    found = name("copy")
    assert found["failed"]
    assert "Conflicting values set for option Signed-By" in found["msg"]
    assert not (tmp_path / "sources.list.d/ours.sources").exists()
    assert "grep" in found["next_step"]


def test_a_source_that_the_key_does_not_prove_is_taken_back_and_the_former_text_stays(
    name: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    assert name("right")["changed"]
    before = (tmp_path / "sources.list.d/ours.sources").read_text()
    found = name("wrong")
    assert found["failed"]
    assert "removed again" in found["msg"]
    assert (tmp_path / "sources.list.d/ours.sources").read_text() == before


def test_an_apt_that_is_broken_already_gets_nothing_added(name: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "sources.list.d/other.list").write_text("deb nonsense\n")
    found = name("right")
    assert "nothing was added" in found["msg"]
    assert not (tmp_path / "sources.list.d/ours.sources").exists()
