"""The running server that we look after, found by its unit, container or pid file."""

from __future__ import annotations

import re

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.answers import Answers, Ask, mapping, text, whole
from reaper_ops.core.facts.model import Process
from reaper_ops.core.inventory.settings import Settings


def asks(settings: Settings) -> list[Ask]:
    where = {
        "systemd": {"unit": places.UNIT},
        "docker": {"container": places.CONTAINER},
        "process": {"pid_file": f"{places.home(settings)}/ollama.pid"},
    }[settings.ollama_runtime]
    return [{"id": "process", "kind": "process", "name": "ollama", **where}]


def parse(answers: Answers) -> Process | None:
    answer = answers.get("process")
    pid = whole(answer.get("pid"))
    if not answer.get("found") or pid is None:
        return None
    argv, status = answer.get("argv"), mapping(answer.get("status"))
    return Process(
        pid=pid,
        exe=text(answer.get("exe")) or "",
        environ={str(k): str(v) for k, v in mapping(answer.get("environ")).items()},
        argv=tuple(str(word) for word in argv) if isinstance(argv, list) else (),
        uid=_first(text(status.get("Uid"))),
        gids=tuple(_numbers(text(status.get("Groups")))),
        started=whole(answer.get("started")),
    )


def oom_kills(answers: Answers) -> int | None:
    """How often the kernel killed in the server's memory cgroup; both generations count it as `oom_kill`."""
    files = mapping(mapping(answers.get("process")).get("memory"))
    for name in ("memory.events", "memory.oom_control"):
        match = re.search(r"^oom_kill (\d{1,18})$", text(files.get(name)) or "", re.M | re.ASCII)
        if match:
            return int(match[1])
    return None


def _numbers(value: str | None) -> list[int]:
    return [int(word) for word in (value or "").split() if re.fullmatch(r"[0-9]{1,10}", word)]


def _first(value: str | None) -> int | None:
    return next(iter(_numbers(value)), None)
