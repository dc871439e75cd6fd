"""`ollama_runtime: process` by root in a directory of somebody else: root runs, writes and reads nothing there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from security.conftest import Ground, library, snapshot
from subject import free_port

from reaper_ops.cli.program import run

ROOT = Path(__file__).resolve().parents[2]
PROCESS = library("ollama_process")
STATES = ("started", "restarted", "stopped")


def spec(place: Path, **more: object) -> Path:
    row = {
        "argv": [str(place / "bin/ollama"), "serve"],
        "environment": {"OLLAMA_HOST": "127.0.0.1:1"},
        "log": str(place / "ollama.log"),
        "pid": str(place / "ollama.pid"),
        **more,
    }
    place.mkdir(exist_ok=True)
    (place / "env.json").write_text(json.dumps(row))
    return place / "env.json"


def act(path: Path, state: str) -> object:
    return PROCESS.step({"spec": str(path), "state": state, "stop_timeout": 1, "settle": 0.1}, False)


@pytest.mark.parametrize("state", STATES)
def test_a_home_of_somebody_else_is_refused(ground: Ground, state: str) -> None:
    """Its log is a link to a file of root, big enough to be moved away; its program is the other user's."""
    path = spec(ground.home, argv=["/bin/sh", "-c", f"echo won > {ground.victim}/won"])
    os.truncate(ground.link("big", "shadow").parent / "models/blobs/sha256-bb", 11 << 20)
    ground.link("ollama.log", ground.victim / "shadow")
    ground.link("ollama.pid", ground.victim / "id_ed25519")
    with pytest.raises(PROCESS.Trouble, match=r"a user other than root can change .*so nothing there runs as root"):
        act(path, state)
    assert (ground.home / "ollama.log").is_symlink()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("what", ["program", "log", "pid"])
def test_what_root_s_own_settings_name_there_is_refused(ground: Ground, what: str, state: str) -> None:
    log = ground.home / "logs/ollama.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (11 << 20))
    ground.theirs()
    names = {"program": {"argv": [str(ground.home / "ollama")]}, "log": {"log": str(log)}}
    own = spec(ground.victim.parent / "own", **names.get(what, {"pid": str(ground.home / "ollama.pid")}))
    with pytest.raises(PROCESS.Trouble, match=str(ground.home)):
        act(own, state)
    assert not log.with_suffix(".log.1").exists()


@pytest.mark.parametrize("place", ["sticky", "own"])
def test_root_s_own_place_is_as_before(ground: Ground, place: str) -> None:
    """Also below one like /tmp."""
    top = ground.victim.parent / "tmp"
    top.mkdir()
    top.chmod(0o1777 if place == "sticky" else 0o755)
    path = spec(top / "own")
    with pytest.raises(PROCESS.Trouble, match="cannot be started: No such file"):
        act(path, "started")


LAID = {
    "reaper_ops": "",
    "releases": "",
    "conf": "",
    "current": "",
    "env.json": "shadow",
    "manifest.json": "shadow",
    "ollama.log": "new",
}
REFUSED = "can change {home} (mode 0755)"
MEND = "run it as that user: `ansible_become: true` and `ansible_become_user: "


def inventory(ground: Ground, **more: Any) -> str:
    """A server and a mirror of root in the other user's home, who has laid links where we write first."""
    for name, target in LAID.items():
        ground.link(f"ai/{name}", ground.victim / target)
    shared = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    place = str(ground.home / "ai")
    host = {**shared, "ollama_runtime": "process", "ollama_home": place, "ollama_port": free_port()}
    mirror = {**shared, "ollama_managed": False, "mirror_runtime": "process", "mirror_dir": place}
    path = ground.victim.parent / "hosts.json"
    path.write_text(
        json.dumps({"all": {"hosts": {"a": {**host, **more}, "m": {**mirror, "mirror_port": free_port()}}}})
    )
    return str(path)


@pytest.mark.parametrize(
    "words",
    [["plan", "-l", "a"], ["up", "--yes", "-l", "a"], ["models", "mirror", "up", "--yes", "-l", "m"]],
    ids=lambda words: words[-4] if words[0] == "models" else words[0],
)
def test_such_a_home_is_refused_before_anything_is_done(
    ground: Ground, words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "controller"))
    path = inventory(ground)
    before = snapshot(ground.home)
    assert run([*words, "-i", path]) != 0
    told = " ".join("".join(capfd.readouterr()).split())
    assert REFUSED.format(home=ground.home) in told, told
    assert MEND in told, told
    assert snapshot(ground.home) == before


def test_ansible_alone_refuses_it_too(ground: Ground, tmp_path: Path) -> None:
    path = inventory(ground)
    before = snapshot(ground.home)
    argv = [Path(sys.executable).with_name("ansible-playbook"), "-i", path, "-l", "a", ROOT / "playbooks/site.yml"]
    environ = {**os.environ, "HOME": str(tmp_path / "controller")}
    done = subprocess.run(argv, capture_output=True, text=True, env=environ, cwd=ROOT, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    stdout = done.stdout.replace('\\"', '"')
    assert REFUSED.format(home=ground.home) in stdout
    assert MEND in stdout
    assert snapshot(ground.home) == before


@pytest.mark.parametrize(
    ("mode", "place", "mend"),
    [(0o777, "ai", "`sudo chmod go-w "), (0o1777, "ai", "(mode 1777); set ollama_home to"), (0o755, "ai", "")],
)
def test_a_directory_of_root_that_others_can_write(
    ground: Ground,
    mode: int,
    place: str,
    mend: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "controller"))
    top = tmp_path / "shared"
    top.mkdir()
    top.chmod(mode)
    run(["plan", "-i", inventory(ground, ollama_home=str(top / place)), "-l", "a"])
    told = " ".join("".join(capfd.readouterr()).split())
    assert mend in told, told
    assert ("root would run what is in" in told) is bool(mend), told
