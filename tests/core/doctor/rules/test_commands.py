"""Every command that a remedy prints can be typed as it stands, on a host of any runtime.

Two sources: what the cases expect, and every step of the rules, rendered for a host of each runtime.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from doctor_cases import FILES, evidence, load
from step_values import PLACES, VALUES
from watchers import program

from reaper_ops.core.doctor import remedy, rules
from reaper_ops.core.doctor.diagnose import diagnose, examined
from reaper_ops.core.doctor.finding import Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.catalogue import RULES
from reaper_ops.core.health.probe import Observation
from reaper_ops.core.inventory.settings import Settings

RUNTIMES = ("systemd", "docker", "process")
EXCLUDED = (
    "SC2002",  # `cat FILE |`: a step pipes "the command that prints the log", which for a process is `cat`
)
CAPITALS = frozenset(
    {
        *("GET", "POST", "HEAD", "DELETE"),
        *("DOCKER-USER", "DROP", "ORIGINAL"),  # iptables: chain, target, direction of a connection
        *("ECC", "PAGE_RETIREMENT", "TEMPERATURE", "POWER", "PERFORMANCE"),  # nvidia-smi --display
        *("SOURCE", "OPTIONS"),  # columns of findmnt
        *("NVRM", "MHz"),  # what grep looks for in the kernel's log and in /proc/cpuinfo
        *("QUIT",),  # a signal
        *(
            "NO_PROXY",
            "HTTP_PROXY",
            "DEFAULT",
            "AVC",
        ),  # variables; a compute mode of nvidia-smi; a kind of audit record
    }
)
"""Words in capitals that are typed as they stand."""
SYSTEM_SETTINGS = frozenset({"ollama_memory_max", "swap_kind", "swap_size", "swap_path"})
"""What nothing enforces, or only root can do."""
OTHER_UNITS = frozenset(
    {"nvidia-persistenced", "nvidia-fabricmanager", "nvidia-gridd", "nvidia-suspend", "docker", "reboot"}
)
"""What `systemctl` may name on a host whose server is a plain process."""


@dataclass(frozen=True)
class Typed:
    """A command, the runtime of its host, and where it comes from."""

    command: str
    runtime: str
    origin: str


EXPECTED = [(path, load(path)) for path in FILES]


def runtime(case: dict[str, Any]) -> str:
    return str(case.get("settings", {}).get("ollama_runtime", "systemd"))


def expected() -> Iterator[Typed]:
    for path, case in EXPECTED:
        for cause in case["expect"]["causes"]:
            for command in (*(step["command"] for step in cause["steps"]), cause["verify"]):
                if command:
                    yield Typed(command, runtime(case), f"{path.parent.name}/{path.name}: {cause['id']}")


def steps() -> Iterator[tuple[str, Step]]:
    """Of the rules themselves, and every other that a module of the rules keeps for a kind of host."""
    for rule in RULES:
        yield from ((rule.id, step) for step in (*rule.steps, Step("", rule.verify)))
    for info in pkgutil.walk_packages(rules.__path__, f"{rules.__name__}."):
        for name, value in vars(importlib.import_module(info.name)).items():
            yield from ((f"{info.name}.{name}", step) for step in steps_in(value))


def steps_in(value: object) -> Iterator[Step]:
    if isinstance(value, Step):
        yield value
    elif isinstance(value, dict):
        yield from steps_in(tuple(value.values()))
    elif isinstance(value, tuple) and type(value) is tuple:
        for item in value:
            yield from steps_in(item)


STEPS = list(dict.fromkeys(steps()))
HOSTS = {
    name: HostEvidence(
        Settings.model_validate({"ollama_runtime": name}),
        Observation("gpu1", "http://gpu1:11434"),
        source="-i hosts.yml",
    )
    for name in RUNTIMES
}


def rendered() -> Iterator[Typed]:
    for name, host in HOSTS.items():
        ours = remedy.places(host)
        for origin, step in STEPS:
            values = {place: VALUES.get(place, "/store/x") for place in PLACES.findall(step.command)}
            shown = remedy.step(step, ours, {**values, "path": "/store/x", "store": "/store", "home": "/store"})
            if step.command:
                assert shown.command, f"{origin}: {step.command}"
                yield Typed(shown.command, name, f"{origin}, {name}")


TYPED = [*expected(), *rendered()]
COMMANDS = sorted({typed.command for typed in TYPED})


def origins(command: str) -> str:
    return ", ".join(sorted({typed.origin for typed in TYPED if typed.command == command})[:3])


def named(complaints: Iterable[tuple[str, str]]) -> list[str]:
    """Each with the command and where it comes from."""
    return [f"{complaint}: {command}  ({origins(command)})" for command, complaint in complaints]


def test_bash_reads_each() -> None:
    script = "\n".join(COMMANDS)
    if subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False).returncode:
        for command in COMMANDS:
            done = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stderr}\n{origins(command)}"
    assert all("\n" not in command for command in COMMANDS)


def test_shellcheck_finds_no_fault() -> None:
    """Each in braces of its own, so that a `reboot` or an assignment of one says nothing about the next."""
    words = [program("shellcheck"), "--shell=bash", "--format=json1", f"--exclude={','.join(EXCLUDED)}"]
    script = "".join(f"( {command}\n)\n" for command in COMMANDS)
    done = subprocess.run([*words, "-"], input=script, capture_output=True, text=True)
    found = json.loads(done.stdout)["comments"]
    assert not named((COMMANDS[(row["line"] - 1) // 2], f"SC{row['code']} {row['message']}") for row in found)


def placeholders(command: str) -> list[str]:
    """Words in capitals, as an argument or in a JSON document that is one; `<name>` too."""
    bare = re.sub(r"\b[A-Za-z_]+=(?=\S)", "", command)
    capitals = re.findall(r"(?<![\w./@:-])[A-Z][A-Z_-]{2,}(?![\w])", bare)
    return [w for w in capitals if w not in CAPITALS and not w.startswith("OLLAMA_")] + re.findall(r"<[a-z_ -]+>", bare)


def test_none_has_a_placeholder() -> None:
    assert not named((command, word) for command in COMMANDS for word in placeholders(command))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('curl http://127.0.0.1:11434/api/show -d \'{"model": "NAME"}\'', ["NAME"]),
        ("ollama pull MODEL", ["MODEL"]),
        ("kill PID; reaper-ops up -i INVENTORY -l HOST", ["PID", "INVENTORY", "HOST"]),
        ("ls /srv/MODELS; OLLAMA_HOST=1 ollama list", []),
        ("netsh add connectaddress=WSL_ADDRESS", ["WSL_ADDRESS"]),
        ("ssh <host> id", ["<host>"]),
        ("curl -X POST http://h", []),
    ],
)
def test_placeholders_are_known(command: str, words: list[str]) -> None:
    assert placeholders(command) == words


def test_none_is_a_sentence() -> None:
    assert not named((command, "prose") for command in COMMANDS if re.search(r"; then\b|^on \S+: |…|\.\.\. ", command))


def test_a_step_that_lacks_a_value_is_a_sentence() -> None:
    """And says how to find it, or at least what is not known."""
    for name, host in HOSTS.items():
        ours = remedy.places(host)
        for origin, step in STEPS:
            lacking = set(PLACES.findall(step.command)) - ours.keys()
            if lacking:
                shown = remedy.step(step, ours, {})
                assert (shown.command, shown.action) == ("", ""), (origin, name)
                assert shown.text != step.text
                assert not {word.upper() for word in lacking} & set(shown.text.split()), (origin, shown.text)


def test_a_process_has_no_unit() -> None:
    for typed in expected():
        if typed.runtime == "process" and "systemctl" in typed.command:
            words = shlex.split(typed.command.split("systemctl", 1)[1])
            assert OTHER_UNITS & set(words), typed


def as_process(case: dict[str, Any]) -> HostEvidence | None:
    """The host of a case with its server as a plain process; None where there are no facts."""
    kept = {name: value for name, value in case.get("settings", {}).items() if name not in SYSTEM_SETTINGS}
    if not case["facts"]:
        return None
    facts = {name: value for name, value in case["facts"].items() if name not in {"unit", "container"}}
    traces = facts.get("traces") or {}
    facts["traces"] = {name: value for name, value in traces.items() if name not in {"unit_text", "containers"}}
    return evidence({**case, "settings": {**kept, "ollama_runtime": "process"}, "facts": facts})


def test_no_rule_gives_a_process_the_unit_of_a_service() -> None:
    """Every sick host, as if its server ran without systemd."""
    checked = 0
    for path, case in EXPECTED:
        host = as_process(case) if path.stem.startswith("sick") else None
        for cause in diagnose(examined(host)).causes if host else ():
            checked += 1
            for step in cause.steps:
                words = shlex.split(step.command.partition("systemctl")[2])
                assert not words or OTHER_UNITS & set(words), (path.parent.name, path.stem, step.command)
    assert checked > 300


def test_the_words_for_a_process_name_no_unit() -> None:
    ours = remedy.places(HOSTS["process"])
    assert not [name for name in remedy.READY if "systemctl" in ours[name] or "journalctl" in ours[name]]


def limited(case: dict[str, Any]) -> bool:
    return case.get("settings", {}).get("ollama_memory_max") is not None


def test_only_a_limit_of_ours_is_raised() -> None:
    """`ollama_memory_max` is raised where it is set, and is set where something enforces it."""
    for path, case in EXPECTED:
        for cause in case["expect"]["causes"]:
            for text in (step["text"] for step in cause["steps"] if "ollama_memory_max" in step["text"]):
                assert runtime(case) != "process", (path, text)
                assert limited(case) or not re.search(r"\braise\b", text, re.IGNORECASE), (path, text)
