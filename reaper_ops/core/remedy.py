"""What can be done: the places in the commands of steps, and the actions that reaper_ops can do itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
    "host": "HOST",
    "source": "-i INVENTORY",
    "port": "11434",
    "models_dir": "/var/lib/ollama/models",
}


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
        "log": case.look().removeprefix(f"on {case.host}: "),
        "host": case.host,
        "source": case.source or "-i INVENTORY",
        "port": str(settings.ollama_port),
        "models_dir": case.models_dir,
    }


def fill(text: str, values: Mapping[str, str]) -> str:
    """`{place}` replaced; one that has no value here stands in capitals. Other braces stay as they are."""
    return re.sub(r"\{([a-z_]+)\}", lambda found: values.get(found[1], found[1].upper()), text)
