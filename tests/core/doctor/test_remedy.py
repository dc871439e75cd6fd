from __future__ import annotations

import re
from typing import Any

import pytest

from reaper_ops.core.doctor import remedy
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.catalogue import RULES
from reaper_ops.core.health.probe import Observation
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.formats.doctor.runbook_paths import PATHS

COMMANDS = [
    *((rule.id, command) for rule in RULES for command in (*(step.command for step in rule.steps), rule.verify)),
    *((path.name, check.command) for path in PATHS for check in path.checks),
]
ROOT = re.compile(
    r"(?<!sudo )\b(nft list|iptables|ufw|firewall-cmd|dmesg|ss -\w*p|journalctl -k|tail \S+ \S+ /var/log)\b"
)


def places(**settings: Any) -> dict[str, str]:
    return remedy.places(HostEvidence(Settings.model_validate(settings), Observation("a", "http://a:11434")))


@pytest.mark.parametrize(
    ("settings", "client", "whole", "recent"),
    [
        ({}, "ollama", "journalctl -u ollama --no-pager", "journalctl -u ollama --no-pager --since -10min"),
        (
            {"ollama_runtime": "docker", "ollama_port": 11500},
            "docker exec ollama ollama",
            "docker logs ollama 2>&1",
            "docker logs --since 10m ollama 2>&1",
        ),
        (
            {"ollama_runtime": "process", "ollama_home": "/srv/o", "ollama_port": 11500},
            "OLLAMA_HOST=127.0.0.1:11500 /srv/o/current/bin/ollama",
            "cat /srv/o/ollama.log",
            "tail -n 100 /srv/o/ollama.log",
        ),
    ],
)
def test_commands_are_those_of_the_runtime(settings: dict[str, Any], client: str, whole: str, recent: str) -> None:
    found = places(**settings)
    assert (found["ollama"], found["all_log"], found["recent_log"]) == (client, whole, recent)


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_commands_can_be_typed_as_they_are(name: str, command: str) -> None:
    """A container's log is on standard error, which a pipe leaves out; its program is inside of it."""
    assert "{log} |" not in command
    assert not re.match(r"ollama (stop|pull|rm|list|signin)", command)
    assert not ROOT.search(command), name
    assert not command.endswith(";"), "a line of a configuration"
