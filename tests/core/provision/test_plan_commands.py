"""Commands within the sentences of a plan: what a host says stands in them as words, or no command is given."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shell_words
from shell_words import PAYLOADS

import reaper_ops
from reaper_ops.core.facts import codec
from reaper_ops.core.facts.model import Disk, Facts, Holder, UnitFile
from reaper_ops.core.facts.model_store import Place, PlacePart
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import desired_state

CASES = Path(__file__).parents[2] / "cases" / "plan"
BASES = json.loads((CASES / "bases.json").read_text())
SERVE = ("/usr/local/bin/ollama", "serve")
ROOT, DATA = PlacePart("/", "0755", 0, 0, "root"), PlacePart("/data", "0700", 1000, 1000, "alice")
STORE = PlacePart("/data/models", "0755", 1000, 1000, "alice")
LATE = UnitFile("/etc/systemd/system/ollama.service.d/zzz.conf", "drop-in", "[Service]\nEnvironmentFile=/etc/zzz\n")
VENDOR = UnitFile("/etc/systemd/system/ollama.service", "unit", "[Service]\nExecStart=/usr/local/bin/ollama serve\n")
ODD = UnitFile("/etc/zzz", "environment", "OLLAMA_HOST=0.0.0.0\n")
SPANS = re.compile(r"`([^`]+)`")


def disk(**more: Any) -> Disk:
    return Disk(
        **{"path": "/data/models", "mount": "/data", "fstype": "ext4", "total": 1 << 40, "free": 1 << 39, **more}
    )


HOSTS: dict[str, dict[str, Any]] = {
    "somebody's server": {"listening": (Holder("127.0.0.1", 11434, 421, "joe", SERVE, store="/home/joe/models"),)},
    "a service": {"listening": (Holder("0.0.0.0", 11434, 50, "www-data", ("nginx",), "nginx.service"),)},
    "a container": {"listening": (Holder("::", 11434, 50, "root", ("docker-proxy",), "", "web nginx:1"),)},
    "a closed parent": {"models_place": Place("/data/models", True, 0, (ROOT, DATA, STORE))},
    "a store of others": {"models_place": Place("/data/models", True, 3, (ROOT, STORE)), "user_groups": None},
    "read-only": {"disks": {"/data/models": disk(read_only=True), "/opt/ollama": disk(noexec=True, mount="/opt")}},
    "full": {"disks": {"/data/models": disk(free=0), "/opt/ollama": disk(inodes_free=0)}},
    "a late drop-in": {"unit_files": (VENDOR, LATE, ODD)},
}


def facts(**more: Any) -> Facts:
    return dataclasses.replace(codec.load("case", BASES["debian13"]), **more)


def said(of: Facts) -> list[str]:
    settings = Settings(ollama_models_dir="/data/models", ollama_adopt=True)
    plan = desired_state.derive(settings, of).plan
    return [*plan.blockers, *plan.warnings, *(action.reason for action in plan.actions)]


def typed(of: Facts) -> list[str]:
    """What stands between backticks and is typed, and not a setting."""
    return [
        span
        for text in said(of)
        for span in SPANS.findall(text)
        if not re.match(r"[\w{]+:? |\w+$", span) or _runs(span)
    ]


def _runs(span: str) -> bool:
    return span.split(" ")[0] in {"sudo", "df", "swapon", "docker", "reaper-ops", "kill"}


def dirty(value: Any, payload: str) -> Iterator[Any]:
    """The value with the payload in one of its texts each time."""
    if isinstance(value, str):
        yield value + payload
    elif isinstance(value, tuple):
        for at, item in enumerate(value):
            yield from ((*value[:at], one, *value[at + 1 :]) for one in dirty(item, payload))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from ({**value, key: one} for one in dirty(item, payload))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            for one in dirty(getattr(value, field.name), payload):
                yield dataclasses.replace(value, **{field.name: one})


@pytest.mark.parametrize("name", HOSTS)
def test_a_command_is_there(name: str) -> None:
    assert typed(facts(**HOSTS[name]))


@pytest.mark.parametrize("name", HOSTS)
def test_what_a_host_says_is_no_command(name: str) -> None:
    made: dict[str, str] = {}
    for payload in PAYLOADS:
        for host in dirty(HOSTS[name], payload):
            try:
                found = typed(facts(**host))
            except ValueError:
                continue  # a mode that is none
            made |= dict.fromkeys(found, payload)
    for command, read in shell_words.read(made).items():
        assert not shell_words.faults(read), (command, read.programs)


def test_models_of_somebody_are_read_with_his_rights() -> None:
    """The store is what his process says of itself: root copies nothing from there."""
    copies = [one for one in typed(facts(**HOSTS["somebody's server"])) if "/home/joe" in one]
    assert copies == ["sudo -u joe tar -C /home/joe/models -c . | sudo -u ollama tar -C /data/models -x"]


PROGRAM = re.compile(r"`(?:sudo|docker|systemctl|kill|ssh|rm|df|swapon|chown|chmod|mount|reaper-ops) [^`]*\x00[^`]*`")
JOINED: set[str] = set()
"""Where another function quoted it."""


def test_no_sentence_puts_a_value_into_a_command_by_itself() -> None:
    """An f-string quotes nothing; `shell.typed` does."""
    found = []
    for file in sorted(Path(reaper_ops.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
                found += [f"{file.name}:{node.lineno}: {one}" for one in PROGRAM.findall(text) if one not in JOINED]
    assert not found
