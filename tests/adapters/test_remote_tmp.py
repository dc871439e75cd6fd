"""What Ansible brings to a host waits in a directory whose name tells which machine's processes made what is in it."""

from pathlib import Path

import pytest

from reaper_ops.adapters import ansible, remote_tmp

NAME = remote_tmp.NAMES[0]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ANSIBLE_CONFIG", *remote_tmp.NAMES):
        monkeypatch.delenv(name, raising=False)


def test_each_run_of_ansible_has_it_and_the_same_one() -> None:
    found = ansible._environment()[NAME]
    assert found.startswith("~/.ansible/tmp/reaper_ops-")
    assert ansible._environment()[NAME] == found


def test_another_boot_has_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = remote_tmp.environment()
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(remote_tmp, "BOOT", boot)
    assert remote_tmp.environment() != before


def test_a_machine_without_proc_has_one_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote_tmp, "BOOT", tmp_path / "none")
    assert remote_tmp.environment()[NAME].startswith(remote_tmp.PLACE)


@pytest.mark.parametrize("name", remote_tmp.NAMES)
def test_what_the_user_has_in_the_environment_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/var/tmp/mine")
    assert remote_tmp.environment() == {}
    assert NAME not in ansible._environment()


def test_what_the_user_has_in_ansible_cfg_stays(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\nremote_tmp = /var/tmp/mine\n")
    assert remote_tmp.environment() == {}
