"""What can be done: the places in the commands of steps, and the actions that reaper_ops can do itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reaper_ops.core import server_env
from reaper_ops.core.rules.case import Case


@dataclass(frozen=True)
class Action:
    """A thing that roles or modules of ours do. disturbs: what has to be looked at before, see `flows.fix`."""

    what: str
    disturbs: tuple[str, ...] = ()


ACTIONS: Mapping[str, Action] = {
    "apply": Action("bring the host to its wish, as `up` does", ("answers", "pulls")),
    "start": Action("start the server"),
    "restart": Action("restart the server", ("answers", "pulls")),
    "reload": Action("have systemd read its units again", ("gpu-containers",)),
    "unload": Action("unload {model}", ("answers",)),
    "pull": Action("pull {model} again"),
    "remove-model": Action("remove the manifest of {model}, which cannot be read"),
    "remove-blob": Action("remove {blob}, which is not what its name says"),
    "remove-partial": Action("remove the empty remains of a download, {blob}"),
    "stop-process": Action("end process {pid}", ("answers",)),
    "own": Action("give {path} to the user of the service"),
    "mount": Action("mount {path}, as /etc/fstab says"),
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
}


DEFAULT = "127.0.0.1:11434"
"""Where Ollama's program asks when it is told nothing."""


def places(case: Case) -> dict[str, str]:
    """What the places of a step mean on this host."""
    settings = case.settings
    docker, process = settings.ollama_runtime == "docker", settings.ollama_runtime == "process"
    bare = case.restart().removeprefix(f"on {case.host}: ")
    start = "docker start ollama" if docker else case.ours() if process else GENERIC["start"]
    return {
        **GENERIC,
        "up": case.ours(),
        "restart": bare,
        "start": start,
        **_logs(case),
        "host": case.host,
        "source": case.source or "-i INVENTORY",
        "port": str(settings.ollama_port),
        "models_dir": case.models_dir,
        "ollama": _client(case),
    }


def _client(case: Case) -> str:
    """Ollama's own program where this host has it, told the address where that is not the default."""
    settings = case.settings
    if settings.ollama_runtime == "docker":
        return "docker exec ollama ollama"
    log = case.look().rpartition(" ")[2]
    program = (
        f"{log.removesuffix('/ollama.log')}/current/bin/ollama" if settings.ollama_runtime == "process" else "ollama"
    )
    address = server_env.listen(server_env.reachable(settings.ollama_bind), settings.ollama_port)
    return program if address == DEFAULT else f"OLLAMA_HOST={address} {program}"


def _logs(case: Case) -> dict[str, str]:
    """The last lines, and for a pipe all of them and those of some minutes: a container says them on standard error."""
    log = case.look().removeprefix(f"on {case.host}: ")
    file = log.rpartition(" ")[2]
    piped = {
        "systemd": (GENERIC["all_log"], GENERIC["recent_log"]),
        "docker": ("docker logs ollama 2>&1", "docker logs --since 10m ollama 2>&1"),
        "process": (f"cat {file}", log),
    }
    return {"log": log, **dict(zip(("all_log", "recent_log"), piped[case.settings.ollama_runtime], strict=True))}


def fill(text: str, values: Mapping[str, str]) -> str:
    """`{place}` replaced; one that has no value here stands in capitals. Other braces stay as they are."""
    return re.sub(r"\{([a-z_]+)\}", lambda found: values.get(found[1], found[1].upper()), text)
