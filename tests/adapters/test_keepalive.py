"""Each run asks ssh to notice a host that is gone, and leaves alone what the user set."""

from pathlib import Path

import pytest

from reaper_ops.adapters import ansible, keepalive


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ANSIBLE_CONFIG", keepalive.NAME):
        monkeypatch.delenv(name, raising=False)


def test_each_run_of_ansible_asks_for_it() -> None:
    assert "ServerAliveInterval=" in ansible._environment()[keepalive.NAME]


def test_what_the_user_has_in_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keepalive.NAME, "-v")
    assert keepalive.environment() == {}


@pytest.mark.parametrize("where", ["ansible.cfg", ".ansible.cfg", "own/other.cfg", "own/ansible.cfg"])
def test_what_the_user_has_in_ansible_cfg_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str) -> None:
    (tmp_path / where).parent.mkdir(exist_ok=True)
    (tmp_path / where).write_text("[ssh_connection]\nssh_extra_args = -v\n")
    if where.startswith("own/"):
        monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / ("own" if where == "own/ansible.cfg" else where)))
    assert keepalive.environment() == {}


def test_other_lines_of_ansible_cfg_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[ssh_connection]\n# ssh_extra_args = -v\nssh_args = -C\n")
    assert keepalive.environment()
