"""What ssh asks is asked on the terminal where there is one, host by host and key by key, and never elsewhere."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

SSH = """#!/bin/sh
# A stand-in for ssh: it asks on the terminal for a host that is not known, and runs the command here.
for word; do case "$word" in -O) exit 1;; gpu*) host=$word;; esac; last=$word; done
echo "$host" >> $DIR/calls
if [ ! -e $DIR/known-$host ]; then
    (printf 'really %s? ' $host > /dev/tty) 2>/dev/null || { echo 'Host key verification failed.' >&2; exit 255; }
    read answer < /dev/tty
    [ "$answer" = yes ] || { echo 'Host key verification failed.' >&2; exit 255; }
    : > $DIR/known-$host
fi
exec sh -c "$last"
"""
PLAY = "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: }]\n"
RUN = """
import pathlib, sys
from reaper_ops import assets
from reaper_ops.adapters import ansible
ours = assets.playbook
assets.playbook = lambda name: pathlib.Path(name) if name.startswith("/") else ours(name)
run = ansible.playbook(sys.argv[1], ansible.Source((sys.argv[2],)))
print("ENTERED", sorted(e["host"] for e in run.results), "LOST", dict(run.unreachable))
"""


@pytest.fixture
def argv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts").write_text(f"[all:vars]\nansible_python_interpreter={sys.executable}\n[all]\ngpu1\ngpu2\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DIR", str(tmp_path))
    return [sys.executable, "-c", RUN, str(tmp_path / "play.yml"), str(tmp_path / "hosts")]


def on_a_terminal(argv: list[str], answers: dict[str, str]) -> str:
    """What a person reads who gives these answers, each once."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    shown, deadline, waiting = "", time.monotonic() + 120, dict(answers)
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                shown += os.read(terminal, 4096).decode(errors="replace")
            except OSError:
                break
            for question in [question for question in waiting if question in shown]:
                os.write(terminal, waiting.pop(question).encode() + b"\n")
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown


def test_a_host_key_is_asked_for_on_the_terminal_once_with_the_name_of_the_host(argv: list[str]) -> None:
    shown = on_a_terminal(argv, {"really gpu1?": "yes", "really gpu2?": "no"})
    assert "ENTERED ['gpu1'] LOST {'gpu2': 'its SSH host key is not known" in shown
    assert shown.index("gpu1: its SSH host key is not known") < shown.index("really gpu1?")
    assert [shown.count(f"really {host}?") for host in ("gpu1", "gpu2")] == [1, 1]


def test_without_a_terminal_the_sentence_comes_at_once_and_nobody_is_asked(argv: list[str], tmp_path: Path) -> None:
    found = subprocess.run(
        argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, start_new_session=True, timeout=120
    )
    assert "ENTERED [] LOST" in found.stdout
    assert found.stdout.count("there was nobody to confirm it") == 2
    assert sorted((tmp_path / "calls").read_text().split()) == ["gpu1", "gpu2"], "no host is tried twice"


@pytest.mark.parametrize("is_typed", [True, False])
def test_a_passphrase_is_asked_for_once_and_the_agent_is_gone_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_typed: bool
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "geheim", "-f", key], check=True)
    asks = {"kind": "passphrase", "words": ("ssh-add", str(key))}
    code = f"""
import os
from reaper_ops.adapters import entering, login
events = [{{"event": "unreachable", "host": host, "asks": {asks!r}}} for host in ("gpu1", "gpu2")]
print("ANSWERED", entering.answered(events, None), login.is_loaded({str(key)!r}))
print("AGAIN", entering.answered(events, None))
print("SOCKET", os.environ["SSH_AUTH_SOCK"])
"""
    answer = {"passphrase for": "geheim"} if is_typed else {"passphrase for": ""}
    shown = on_a_terminal([sys.executable, "-c", code], answer)
    assert shown.count("Enter passphrase") == 1
    assert f"ANSWERED {['gpu1', 'gpu2'] if is_typed else []} {is_typed}" in shown
    assert "AGAIN []" in shown
    assert "geheim" not in shown
    assert shown.count("has a passphrase") == 1, "one key, one line"
    if is_typed:
        assert_gone(Path(shown.split("SOCKET ")[1].split()[0]))


def assert_gone(socket: Path) -> None:
    """An agent looks every ten seconds whether its program is there."""
    deadline = time.monotonic() + 60
    while socket.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not socket.exists()
