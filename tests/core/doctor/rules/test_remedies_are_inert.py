"""What hosts say never becomes a command: every rule's sick cases, with hostile values in their evidence."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from doctor_cases import SICK, examine, load
from step_values import DIRECTORIES, PLACES, VALUES

from reaper_ops.core.doctor import remedy, rules
from reaper_ops.core.doctor.diagnose import BY_ID, Diagnosis
from reaper_ops.core.doctor.finding import Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.catalogue import RULES
from reaper_ops.core.health.probe import Observation
from reaper_ops.core.inventory.settings import Settings

EVIL = (
    "$(touch${IFS}X)",
    "`touch${IFS}X`",
    ";touch${IFS}X;",
    "'\"$(touch${IFS}X)",
    " -rf $(touch X) && `id` | sh > /etc/x",
    "/../../../../etc/cron.d;$(touch${IFS}X)",
    "\ntouch X\n",
    "\\\u202e\x1b[2J",
)


def replaced(value: Any, old: str, new: str) -> Any:
    """In every text of the evidence."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [replaced(item, old, new) for item in value]
    return {key: replaced(item, old, new) for key, item in value.items()} if isinstance(value, dict) else value


def commands(found: Diagnosis) -> list[str]:
    return [text for cause in found.causes for text in (*(step.command for step in cause.steps), cause.verify) if text]


def checked(found: Iterable[str]) -> None:
    """By bash, all at once; one by one where it complains, to name the one."""
    every = sorted(set(found))
    if every and subprocess.run(["bash", "-n"], input="\n".join(every), capture_output=True, text=True).returncode:
        for text in every:
            done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
            assert done.returncode == 0, f"{text}\n{done.stderr}"


def tokens(text: str) -> list[str]:
    reader = shlex.shlex(text, posix=True, punctuation_chars=True)
    reader.whitespace_split, reader.commenters = True, ""
    return list(reader)


@pytest.mark.parametrize("shard", range(4))
def test_evidence_never_becomes_a_command(shard: int) -> None:
    every: list[str] = []
    for path in SICK[shard::4]:
        plain = examine(load(path))
        every += commands(plain)
        values = {v for cause in plain.causes for v in cause.finding.values.values() if len(v) > 3}
        for place, value in enumerate(sorted(values)):
            for evil in (EVIL[(place + shard) % len(EVIL)], EVIL[5]):
                case = load(path)
                dirty = {name: replaced(case[name], value, value + evil) for name in ("facts", "exchanges")}
                try:
                    found = commands(examine({**case, **dirty}))
                except (ValueError, TypeError):
                    continue
                every += found
                for text in found:
                    assert text.isprintable()
                    assert not re.search(r"touch X|touch\$", _outside(text)), (path.name, text)
                    assert "/../" not in text or not text.startswith("sudo"), (path.name, text)
    checked(every)


def _outside(text: str) -> str:
    """What a shell reads outside of single quotes."""
    return re.sub(r"'[^']*'", "", text.replace("'\"'\"'", ""))


HOST = HostEvidence(Settings(), Observation("gpu1", "http://gpu1:11434"), source="-i hosts.yml")
OURS = remedy.places(HOST)
STEPS = [(rule.id, step) for rule in RULES for step in (*rule.steps, Step("", rule.verify))]


@pytest.mark.parametrize("evil", EVIL)
def test_every_place_of_every_step_is_one_word(evil: str) -> None:
    every = []
    for id_, step in STEPS:
        names = sorted(set(PLACES.findall(step.command)) - remedy.READY)
        good = {name: VALUES.get(name, "/store/x") for name in names}
        plain = remedy.step(step, OURS, {"path": "/store/x", **DIRECTORIES, **good}).command
        assert plain or not step.command, id_
        for name in names:
            dirty = remedy.step(step, OURS, {"path": "/store/x", **DIRECTORIES, **good, name: good[name] + evil})
            if not dirty.command:
                assert dirty.action == "", id_
                continue
            every.append(dirty.command)
            back = [token.replace(good[name] + evil, good[name]) for token in tokens(dirty.command)]
            assert back == tokens(plain) or "'{" in step.command, (id_, dirty.command)
    checked(every)


def test_a_finding_cannot_bring_a_ready_command() -> None:
    found = remedy.step(Step("x", "{restart} {ollama}"), OURS, {"restart": "rm -rf /", "ollama": "rm -rf /"})
    assert found.command == "sudo systemctl restart ollama ollama"


@pytest.mark.parametrize("path", ["/etc/cron.d", "/store/../etc", "/storeroom", "/", "store"])
def test_the_store_is_given_away_nowhere_else(path: str) -> None:
    step = BY_ID["models-dir-permission"].steps[0]
    found = remedy.step(step, OURS, {"path": path, "user": "ollama", "store": "/store"})
    assert (found.command, found.action) == ("", "")
    assert "no command is shown" in found.text


FROM_THE_RULES = frozenset(
    {
        *("_SET", "_EXCEPTIONS", "ldd", "sudo", "key", "packages", "variable"),  # one of the rule's own constants
        *("system.initramfs(case)", "case.home"),  # a constant for each family; quoted by core/shell.py
    }
)
"""What an f-string may put into a command: nothing that comes from a host."""


def commands_in(node: ast.AST) -> list[ast.expr]:
    """What a call makes a command of."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Step":
        return [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "command")]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"on_host", "repair"}:
        return node.args[:1]
    return []


def test_commands_of_steps_are_templates_and_never_put_together() -> None:
    """An f-string would put a value there unquoted."""
    trees = [ast.parse(file.read_text()) for file in sorted(Path(rules.__path__[0]).rglob("*.py"))]
    given = [command for tree in trees for node in ast.walk(tree) for command in commands_in(node)]
    parts = [part for command in given for part in ast.walk(command) if isinstance(part, ast.FormattedValue)]
    assert len(given) > 300
    assert {ast.unparse(part.value) for part in parts} == FROM_THE_RULES


def test_the_case_that_was_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from reaper_ops.cli.program import run

    host = tmp_path / "gpu1"
    host.mkdir()
    evil = "/var/lib/ollama/models/../../../../etc/cron.d;$(touch${IFS}/tmp/case/PWNED)`id`"
    (host / "journal.log").write_text(
        f"2026-11-26T20:00:00+0000 gpu1 ollama[579]: mkdir {evil}: permission denied: ensure path elements are "
        "traversable\n"
    )
    (host / "systemctl-show.txt").write_text(
        "Id=ollama.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUser=ollama\n"
        "Result=exit-code\nFragmentPath=/etc/systemd/system/ollama.service\n"
        "Environment=HOME=/var/lib/ollama OLLAMA_MODELS=/var/lib/ollama/models\n"
    )
    assert run(["doctor", "--from", str(host)]) == 3
    typed = [line for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith("$ ")]
    assert not [line for line in typed if "touch" in line or ".." in line or "`" in line]
