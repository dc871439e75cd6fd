"""Each way in which a host is not entered has its own sentence and its own next step.

The results are what Ansible 2.19 handed over with OpenSSH 9.2 and sudo 1.9.13; six are from their sources.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from reaper_ops.core.inventory import access

CASES = json.loads((Path(__file__).resolve().parents[2] / "cases" / "access.json").read_text(encoding="utf-8"))
LOGIN = access.Login(host="192.0.2.7", user="maria")


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_host_that_is_not_entered(case: dict[str, Any]) -> None:
    found = access.of_result(case["result"], access.Login(**case["login"]))
    assert found is not None
    assert (found.problem, found.step) == (case["problem"], case["step"])
    assert "Task failed" not in str(found)
    assert "Authorised use only" not in str(found)


@pytest.mark.parametrize(
    "result",
    [
        {"msg": "172.17.0.1:33077/library/tiny: dial tcp 172.17.0.1:33077: connect: connection refused"},
        {"msg": "docker compose: permission denied while trying to connect to the Docker daemon socket"},
        {"msg": "/opt/ollama: No space left on device", "module_stderr": "lost connection"},
        {},
    ],
)
def test_trouble_of_another_kind_is_left_to_others(result: dict[str, str]) -> None:
    assert access.of_result(result, LOGIN) is None


def test_the_command_is_the_one_that_ansible_uses() -> None:
    login = access.Login("gpu1", "maria", "2222", "/home/maria/my key", "-o ProxyJump=bastion -o UserKnownHostsFile=/k")
    words = ["ssh", "-o", "ProxyJump=bastion", "-o", "UserKnownHostsFile=/k", "-i", "/home/maria/my key", "-p", "2222"]
    assert shlex.split(login.command) == [*words, "maria@gpu1"]


def test_words_of_a_host_cannot_become_a_command() -> None:
    text = 'REMOTE HOST IDENTIFICATION HAS CHANGED\n ssh-keygen -f "/k" -R "x; touch /tmp/y"\n'
    found = access.of_result({"msg": text}, LOGIN)
    assert found is not None
    assert "ssh-keygen -f /k -R 'x; touch /tmp/y'" in found.step
    found = access.of_result({"msg": "", "module_stderr": "$(touch${IFS}y) is not in the sudoers file.\n"}, LOGIN)
    assert found is not None
    assert "usermod -aG sudo '$(touch${IFS}y)'" in found.step
