"""How hosts are entered: options and typed passwords reach Ansible, and nobody else; troubles come back in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from reaper_ops.adapters import ansible, login
from reaper_ops.adapters.ansible import Source
from reaper_ops.cli.program import program
from reaper_ops.errors import ReaperError

TELLS = """
import json, os, sys
def text(path):
    modes = [oct(os.stat(name).st_mode & 0o777) for name in (path, os.path.dirname(path))]
    return [open(path).read().strip(), *modes]
words = sys.argv[1:]
files = [os.environ.get("ANSIBLE_BECOME_PASSWORD_FILE")]
files += [words[at + 1] for at, word in enumerate(words) if word == "--vault-password-file"]
seen = {"words": words, "env": dict(os.environ), "files": files, "texts": [text(file) for file in files]}
print(json.dumps({"event": "task", "task": "", "seen": seen}), flush=True)
sys.stdin.read()
while any(os.path.exists(file) for file in files):
    pass
print(json.dumps({"event": "stats"}), flush=True)
"""
SECRETS = ("geheim", "tresor")


def hosts(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "hosts").write_text("gpu1\n")
    return (str(tmp_path / "hosts"),)


def test_typed_passwords_are_read_by_ansible_and_then_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ansible, "PROGRAM", (sys.executable, "-c", TELLS))
    source = Source(hosts(tmp_path), become_password=SECRETS[0], vault_password=SECRETS[1])
    events: list[Any] = []
    ansible.playbook("facts.yml", source, on_event=events.append)
    seen = events[0]["seen"]
    assert seen["texts"] == [[SECRETS[0], "0o600", "0o700"], [SECRETS[1], "0o600", "0o700"]]
    assert not any(Path(file).exists() or Path(file).parent.exists() for file in seen["files"])
    shown = json.dumps([seen["words"], seen["env"]]) + repr(source)
    assert not any(secret in shown for secret in SECRETS)


OURS = ansible.assets.playbook
LOOK = """
import pathlib, sys
seen, mark = [], "-".join(("geheim", sys.argv[2]))
for process in pathlib.Path("/proc").glob("[0-9]*"):
    for name in ("cmdline", "environ"):
        try:
            text = (process / name).read_bytes().decode(errors="replace")
        except OSError:
            continue
        seen += [f"{process}/{name}"] if mark in text else []
pathlib.Path(sys.argv[1]).write_text(str(seen))
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {{content: "{{{{ token }}}} {{{{ other }}}}", dest: "{0}/got", mode: "0600"}}
    - ansible.builtin.command: "{1} {0}/look.py {0}/seen {{{{ '{0}' | basename }}}}"
"""


def test_typed_variables_are_in_no_process_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task looks at every process of this machine while Ansible runs; the last one typed counts."""
    (tmp_path / "play.yml").write_text(PLAY.format(tmp_path, sys.executable))
    (tmp_path / "look.py").write_text(LOOK)
    (tmp_path / "more.json").write_text(json.dumps({"token": "from-file", "other": "from-file"}))
    monkeypatch.setattr(ansible.assets, "playbook", lambda name: tmp_path / name if name == "play.yml" else OURS(name))
    (tmp_path / "hosts").write_text(f"here ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    secret = "-".join(("geheim", tmp_path.name))
    extra = (f"token={secret}", f"@{tmp_path}/more.json", f"token='{secret} too'")
    source = Source((str(tmp_path / "hosts"),), extra_vars=extra)
    assert ansible.extra_names(source) == {"token", "other"}
    run = ansible.playbook("play.yml", source)
    assert not run.failed
    assert (tmp_path / "got").read_text() == f"{secret} too from-file"
    assert (tmp_path / "seen").read_text() == "[]"


def test_a_run_that_breaks_leaves_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ansible, "PROGRAM", (sys.executable, "-c", "import sys; sys.exit('broken')"))
    made: list[Path] = []
    with ansible.secrets(Source(hosts(tmp_path), become_password="x")) as secret:
        assert secret.directory is not None
        made.append(secret.directory)
    with pytest.raises(ansible.CommandError, match="broken"):
        ansible.playbook("facts.yml", Source(hosts(tmp_path), become_password="x"))
    assert not made[0].exists()


def test_options_of_the_login_are_passed_on(tmp_path: Path) -> None:
    source = Source(hosts(tmp_path), user="maria", private_key="/k", forks=7, become=True)
    assert source.login() == ["--user", "maria", "--private-key", "/k", "--forks", "7", "--become"]
    assert not set(source.login()) & set(source.argv()), "ansible inventory knows none of them"


def verbs(command: click.Command, path: str = "") -> dict[str, click.Command]:
    if not isinstance(command, click.Group):
        return {path.strip(): command}
    context = click.Context(command)
    found: dict[str, click.Command] = {}
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        found |= verbs(below, f"{path} {name}")
    return found


WANTED = {"-u", "--user", "--private-key", "--forks", "-K", "--ask-become-pass", "--ask-vault-pass"} | {
    *("-b", "--become", "--vault-password-file", "--become-password-file")
}


@pytest.mark.parametrize(("name", "verb"), verbs(program).items(), ids=str)
def test_every_verb_with_an_inventory_takes_what_ansible_takes(name: str, verb: click.Command) -> None:
    options = [option for parameter in verb.params for option in parameter.opts]
    assert len(options) == len(set(options)), name
    if "--inventory" in options:
        assert set(options) >= WANTED


def test_a_password_is_asked_for_only_where_somebody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from reaper_ops.cli.provision.up import command

    found = CliRunner().invoke(command, ["-i", "hosts,", "-K"], input="")
    assert isinstance(found.exception, ReaperError)
    assert "--become-password-file" in str(found.exception)


@pytest.mark.parametrize(("passphrase", "kind"), [("", "ed25519"), ("secret", "ed25519"), ("secret", "rsa")])
def test_a_key_with_a_passphrase(tmp_path: Path, passphrase: str, kind: str) -> None:
    for words in ([], ["-m", "PEM"]):
        path = tmp_path / f"key{len(words)}"
        argv = ["ssh-keygen", "-q", "-t", kind, *words, "-N", passphrase, "-f", path]
        subprocess.run(argv, check=True)
        assert login.has_passphrase(str(path)) is bool(passphrase)
    assert login.has_passphrase(str(tmp_path / "none")) is False


def test_an_event_of_a_host_that_was_not_entered_says_why() -> None:
    event = {
        "event": "failed",
        "host": "gpu1",
        "task": "Read the host",
        "result": {"msg": "Task failed: Missing sudo password"},
        "login": {"host": "gpu1", "user": "maria", "port": "", "key": "", "args": ""},
    }
    run = ansible.collected([login.in_words(event)])
    step = "add `-K` to be asked once, or `--become-password-file FILE`"
    assert run.failed == {"gpu1": f"sudo wants a password, and none was given; {step}"}
    assert run.steps == {"gpu1": step}


DENIED = "maria@192.0.2.7: Permission denied (publickey,password)."


def keys(tmp_path: Path, **passphrases: str) -> dict[str, Path]:
    for name, passphrase in passphrases.items():
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(tmp_path / name)]
        subprocess.run(argv, check=True)
    return {name: tmp_path / name for name in passphrases}


def denied(text: str, **given: str) -> dict[str, Any]:
    event = {"event": "unreachable", "login": {"host": "192.0.2.7", "user": "maria", **given}, "result": {"msg": text}}
    return dict(login.in_words(event))


@pytest.mark.parametrize("is_named", [True, False])
def test_a_key_with_a_passphrase_is_told_and_asked_for_whether_it_is_named_or_ssh_takes_it_of_itself(
    is_named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    found = keys(tmp_path, open="", locked="geheim")
    config = tmp_path / "config"
    config.write_text("".join(f"IdentityFile {path}\n" for path in (tmp_path / "none", *found.values())))
    event = denied(DENIED, **({"key": str(found["locked"])} if is_named else {"args": f"-F {config}"}))
    assert event["asks"] == {"kind": "passphrase", "words": ("ssh-add", str(found["locked"]))}
    assert event["result"]["msg"].startswith(f"the key {found['locked']} has a passphrase, and nobody could type it;")


def test_a_host_that_takes_no_key_though_all_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    config = tmp_path / "config"
    config.write_text(f"IdentityFile {keys(tmp_path, open='')['open']}\n")
    event = denied(DENIED, args=f"-F {config}")
    assert "asks" not in event
    assert event["result"]["msg"].startswith("maria was not let in: the host accepts no key or password of ours")


def test_ssh_is_asked_for_its_keys_only_where_a_host_refused_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login.process, "run", lambda *_: pytest.fail("a program was started"))
    event = denied("ssh: connect to host 192.0.2.7 port 22: No route to host")
    assert event["result"]["msg"].startswith("no route leads to 192.0.2.7;")
