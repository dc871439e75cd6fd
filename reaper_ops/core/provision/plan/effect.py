"""What is in effect on the host, against what is desired: foreign settings, the running process, where it listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reaper_ops.core import shell
from reaper_ops.core.provision import in_effect, listening, render
from reaper_ops.core.provision.in_effect import DROPIN, FORMER, MARKER, Line
from reaper_ops.core.provision.plan.model import Action, PlanInput, redact

FORMER_ID = "ollama/former-settings"


def former(case: PlanInput) -> list[Action]:
    """The drop-in of earlier releases, where it is still as we wrote it; one that was edited counts as foreign."""
    there = case.facts.files.get(FORMER)
    if there is None or there.content is None or MARKER not in there.content:
        return []
    if not _as_written(case, there.sha256):
        return []
    return [Action(FORMER_ID, FORMER, f"is replaced by {DROPIN}, which takes effect after every other drop-in")]


def _as_written(case: PlanInput, digest: str | None) -> bool:
    known = (case.facts.manifest or {}).get("files")
    return isinstance(known, dict) and digest is not None and known.get(FORMER) == digest


def with_overrides(case: PlanInput, actions: Sequence[Action]) -> list[Action]:
    """The settings say which settings of others they override, with value and file."""
    lines = [line for line in render.contrary(case.desired.context, case.facts) if not line.late]
    lost = _not_read(case) if any(line.key == "EnvironmentFile" for line in lines) else ""
    said = "; ".join(dict.fromkeys(f"overrides {_text_of(line)} of {line.path}" for line in lines))
    if not said:
        return list(actions)
    return [replace(a, reason=f"{a.reason}; {said}{lost}") if a.target == DROPIN else a for a in actions]


def _text_of(line: Line) -> str:
    if line.key == "UnsetEnvironment":
        return f"UnsetEnvironment={line.name}"
    return redact(line.shown)


def _not_read(case: PlanInput) -> str:
    """Other variables of environment files that are no longer read."""
    desired = case.desired.context["environment"]
    lines = [line for line in in_effect.foreign(case.facts) if line.key == "EnvironmentFile"]
    rest = [line for line in lines if line.name not in desired]
    if not rest:
        return ""
    paths, names = sorted({line.path for line in rest}), sorted({line.name for line in rest})
    set_them = f"set {'it' if len(names) == 1 else 'them'} in `ollama_env`"
    return f"; the server no longer reads {', '.join(paths)}: if it needs {', '.join(names)}, {set_them}"


def blockers(case: PlanInput) -> list[str]:
    """Files that would undo our settings."""
    if case.settings.ollama_runtime != "systemd":
        return []
    late = [line for line in render.contrary(case.desired.context, case.facts) if line.late]
    return list(dict.fromkeys(_undone(case, line) for line in late))


def _undone(case: PlanInput, line: Line) -> str:
    wanted = case.desired.context["environment"].get(line.name)
    desired = f" ({line.name}={redact(wanted)} is desired)" if wanted is not None else ""
    if line.key == "EnvironmentFile":
        delete = shell.typed("sudo sed -i '/^{variable}=/d' {path}", variable=line.name, path=line.path)
        mend = f"remove that line: {delete}"
    else:
        folder, _, name = line.path.rpartition("/")
        move = shell.typed("sudo mv {path} {file}", path=line.path, file=f"{folder}/50-{name}")
        mend = f"let it sort before ours: {move}"
    return (
        f"{line.path} takes effect after our settings and sets {_text_of(line)}{desired}; {mend}, then `reaper-ops up`"
    )


def runs_otherwise(case: PlanInput) -> str:
    """How the running server differs from what is desired, though it was started from our settings."""
    process = case.facts.process
    if process is None:
        return ""
    if process.exe.endswith(" (deleted)"):
        return f"runs {process.exe.removesuffix(' (deleted)')}, which is no longer there"
    for name, wanted in case.desired.context["environment"].items():
        value = process.environ.get(name, wanted)
        if value != wanted and "***" not in value:
            return f"runs with {name}={redact(value)}; {redact(wanted)} is desired"
    return exposed(case)


def exposed(case: PlanInput) -> str:
    """Our own server listens elsewhere than desired."""
    if case.settings.ollama_runtime == "docker":
        return ""
    wrong = listening.elsewhere(case.facts.listening, case.settings.ollama_bind, case.settings.ollama_port)
    return f"listens on {', '.join(wrong)}; {case.desired.context['listen']} is desired" if wrong else ""
