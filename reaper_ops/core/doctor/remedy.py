"""What can be done: the places in the commands of steps, and the actions that reaper_ops can do itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reaper_ops.core import shell
from reaper_ops.core.doctor import by_hand
from reaper_ops.core.doctor.finding import Automate, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.provision import server_env
from reaper_ops.core.url import DEFAULT_PORTS


@dataclass(frozen=True)
class FixAction:
    """A thing that roles or modules of ours do. disturbs: what has to be looked at before, see `flows.fix`."""

    what: str
    disturbs: tuple[str, ...] = ()


ACTIONS: Mapping[str, FixAction] = {
    "apply": FixAction("converge the host, as `up` does", ("answers", "pulls")),
    "start": FixAction("start the server"),
    "restart": FixAction("restart the server", ("answers", "pulls")),
    "reload": FixAction("have systemd read its units again", ("gpu-containers",)),
    "unload": FixAction("unload {model}", ("answers",)),
    "pull": FixAction("pull {model} again"),
    "remove-model": FixAction("remove the manifest of {model}, which cannot be read"),
    "remove-blob": FixAction("remove {blob}, which is not what its name says"),
    "remove-partial": FixAction("remove the empty remains of a download, {blob}"),
    "stop-process": FixAction("end process {pid}", ("answers",)),
    "own": FixAction("give {path} to the user of the service"),
    "mount": FixAction("mount {path}, as /etc/fstab says"),
}

GENERIC = {
    "up": "reaper-ops up -i INVENTORY -l HOST",
    "restart": "sudo systemctl restart ollama",
    "start": "sudo systemctl enable --now ollama",
    "log": "journalctl -u ollama -n 100 --no-pager",
    "all_log": "journalctl -u ollama --no-pager",
    "recent_log": "journalctl -u ollama --no-pager --since -10min",
    "host": "HOST",
    "source": "-i INVENTORY",
    "port": "11434",
    "models_dir": "/var/lib/ollama/models",
    "ollama": "ollama",
    "inside": "",
    "sudo": "sudo ",
}


DEFAULT = "127.0.0.1:11434"
"""Where Ollama's program asks when it is told nothing."""


def places(case: HostEvidence) -> dict[str, str]:
    """What the places of a step mean on this host; what is a command by itself is ready for the shell.

    inside: where the server's resolver and files are; sudo: who may change its files there.
    """
    settings = case.settings
    docker, process = settings.ollama_runtime == "docker", settings.ollama_runtime == "process"
    docker_exec = "docker exec ollama"
    start = "docker start ollama" if docker else case.ours() if process else GENERIC["start"]
    return {
        **GENERIC,
        "up": case.ours(),
        "restart": shell.Ready(_restart(case)),
        "start": shell.Ready(start),
        **_logs(case),
        "host": case.host,
        "source": shell.Ready(case.source or "-i INVENTORY"),
        "port": _port(case),
        "models_dir": case.models_dir,
        "settings_store": case.settings.ollama_models_dir or "",
        "account_home": home if (home := case.traces.user_home or "").count("/") > 1 else "",
        "ollama": _client(case),
        "inside": shell.Ready(f"{docker_exec} " if docker else ""),
        "sudo": shell.Ready(f"{docker_exec} " if docker else "" if process else "sudo "),
    }


def _port(case: HostEvidence) -> str:
    """Of the server. Where only the URL of a proxy before it is known, Ollama's default."""
    behind = any((verdict.cause or "").startswith("proxy-") for verdict in case.verdicts[:1])
    known = case.facts is not None or case.settings.ollama_managed
    return str(case.settings.ollama_port if known or not behind else DEFAULT_PORTS[""])


def _restart(case: HostEvidence) -> str:
    """Of a process: ended by its number, and started by `up`, which finds it missing."""
    if case.settings.ollama_runtime != "process":
        return "docker restart ollama" if case.settings.ollama_runtime == "docker" else GENERIC["restart"]
    process = case.facts.process if case.facts else None
    try:
        return f"{shell.command('kill {pid}', {'pid': str(process.pid)})}; {case.ours()}" if process else case.ours()
    except shell.ValueRefused:
        return case.ours()


def _client(case: HostEvidence) -> shell.Ready:
    """Ollama's own program where this host has it, told the address where that is not the default."""
    settings = case.settings
    if settings.ollama_runtime == "docker":
        return shell.Ready("docker exec ollama ollama")
    program = f"{case.home}/current/bin/ollama" if settings.ollama_runtime == "process" else "ollama"
    address = server_env.listen(server_env.reachable(settings.ollama_bind), settings.ollama_port)
    told = "" if address == DEFAULT else f"OLLAMA_HOST={shell.word(address)} "
    return shell.Ready(f"{told}{program}")


def _logs(case: HostEvidence) -> dict[str, str]:
    """The last lines, and for a pipe all of them and those of some minutes: a container says them on standard error."""
    log = case.look().removeprefix(case.on_host(""))
    file = f"{case.home}/ollama.log"
    piped = {
        "systemd": (GENERIC["all_log"], GENERIC["recent_log"]),
        "docker": ("docker logs ollama 2>&1", "docker logs --since 10m ollama 2>&1"),
        "process": (f"cat {file}", log),
    }
    found = (log, *piped[case.settings.ollama_runtime])
    return dict(zip(("log", "all_log", "recent_log"), map(shell.Ready, found), strict=True))


_OF_UNIT = re.compile(r"systemctl [^;|&]{0,60}\bollama\b")


def fitting(case: HostEvidence, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """`up` is for hosts that the inventory manages; elsewhere a person does what it would."""
    if case.settings.ollama_runtime == "process":
        steps = tuple(replace(step, command="") if _OF_UNIT.search(step.command) else step for step in steps)
    if case.settings.ollama_managed:
        return steps
    return tuple(dict.fromkeys(by_hand.step(step) for step in steps))


def check(case: HostEvidence, command: str) -> str:
    """How to see that it worked; without an inventory nothing of ours can be typed."""
    ours = command.startswith("reaper-ops ") and not case.source and not case.settings.ollama_managed
    return "curl -sS http://127.0.0.1:{port}/api/ps" if ours else command


READY = frozenset({"up", "restart", "start", "log", "all_log", "recent_log", "source", "ollama", "inside", "sudo"})
UNTYPED = "What it is about cannot be typed safely, so no command is shown: see the evidence."
UNNAMED = "The evidence does not name {}, so no command is shown."
OUTSIDE = "That path is not where this belongs, so no command is shown: see the evidence."


def step(template: Step, ours: Mapping[str, str], values: Mapping[str, str]) -> Step:
    """A step for one host. ours: its places; values: what the finding says, which is always from outside."""
    known = {**ours, **{name: str.__str__(value) for name, value in values.items() if name not in READY}}
    lacking = shell.places(template.command) - known.keys()
    if lacking:
        return Step(_without(template, known, lacking), "", Automate.NEVER)
    text = fill(template.text, known)
    try:
        command = shell.command(template.command, known)
    except shell.ValueRefused:
        return Step(f"{text} {UNTYPED}", "", Automate.NEVER)
    if template.within and not _may_be_given(known, template.within):
        return Step(f"{text} {OUTSIDE}", "", Automate.NEVER)
    return replace(template, text=text, command=command)


def _may_be_given(known: Mapping[str, str], within: tuple[str, ...]) -> bool:
    """Of what the server itself says (its environment, its log), nothing but a store or a home of its own."""
    path = known.get("path", "")
    if not shell.below(path, tuple(known.get(name, "") for name in within)):
        return False
    promised = tuple(known.get(name, "") for name in ("settings_store", "account_home"))
    return shell.below(path, promised) or not any(map(shell.of_others, (path, *(known.get(n, "") for n in within))))


def _without(template: Step, known: Mapping[str, str], lacking: frozenset[str]) -> str:
    """A step that lacks a value is a sentence: nobody types a placeholder."""
    if template.unknown:
        return fill(template.unknown, known)
    named = {name: f"the {name.replace('_', ' ')}" for name in lacking}
    return f"{fill(template.text, {**named, **known})} {UNNAMED.format(' and '.join(sorted(named.values())))}"


def fill(text: str, values: Mapping[str, str]) -> str:
    """`{place}` replaced; one that has no value here stands in capitals. Other braces stay as they are."""
    return re.sub(r"\{([a-z_]+)\}", lambda found: values.get(found[1], found[1].upper()), text)
