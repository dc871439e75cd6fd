"""Commands that say more than what they print: `docker run` with its options, a server that is started by hand."""

from __future__ import annotations

import re

from reaper_ops.core.doctor.paste import compose
from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import PastedEvidence

WORDS = re.compile(r"(?:[^\s'\"\\]|'[^']{0,2000}'|\"[^\"]{0,2000}\"){1,2000}")
RUN = re.compile(r"(?:sudo )?(?:docker|podman|nerdctl) (?:container )?run ")
KEYS = {
    "-e": "environment",
    "--env": "environment",
    "-p": "ports",
    "--publish": "ports",
    "-v": "volumes",
    "--volume": "volumes",
    "--name": "container_name",
    "--net": "network_mode",
    "--network": "network_mode",
    "--add-host": "extra_hosts",
    "--runtime": "runtime",
    "--device": "devices",
    "-u": "user",
    "--user": "user",
    "--gpus": "deploy",
}
VALUED = frozenset(
    {"--restart", "-m", "--memory", "--cpus", "--group-add", "--security-opt", "--env-file", "-w", "--workdir", "-h"}
    | {"--entrypoint", "--shm-size", "--hostname", "-l", "--label", "--mount", "--ulimit", "--ipc", "--pull"}
)


def run(block: Block, into: PastedEvidence) -> bool:
    """The container that it asks for; whether it runs is not known."""
    text = " ".join(line.text.strip().rstrip("\\") for line in block.lines)
    start = RUN.search(text)
    if start is None:
        return False
    keys = options([_bare(word) for word in WORDS.findall(text[start.end() :])])
    if "deploy" in keys:
        keys["deploy"] = ["gpu"]
    name = keys.get("container_name") or keys.get("image") or [""]
    into.row("containers", compose.container(name[0], keys))
    if "ollama" in (keys.get("image") or [""])[0]:
        into.runtimes.append("docker")
    return "image" in keys


def _bare(word: str) -> str:
    return word.replace('"', "").replace("'", "").strip("`")


def options(words: list[str]) -> dict[str, list[str]]:
    """As the keys of a Compose service; the first word that is no option is the image."""
    found: dict[str, list[str]] = {}
    key = ""
    for word in words:
        if key:
            found.setdefault(key, []).append(word)
            key = ""
        elif not word.startswith("-"):
            found["image"] = [word]
            break
        else:
            name, mark, value = word.partition("=")
            name = KEYS.get(name, "skipped" if name in VALUED else "")
            if mark and name:
                found.setdefault(name, []).append(value)
            elif name:
                key = name
    return found


def nothing(block: Block, into: PastedEvidence) -> bool:
    """What an engine prints while it fetches an image, and the number of the container."""
    return True


KINDS = (
    Kind(
        "docker run",
        run,
        re.compile(r"[`$ ]{0,4}(?:sudo )?(?:docker|podman|nerdctl) (?:container )?run "),
        re.compile(
            r"\A {0,16}(?:-{1,2}[a-zA-Z][\w=-]{0,40}[ =]|-d "
            r"|[\w./-]{1,80}/[\w./-]{1,80}(?::[\w.-]{1,60})? {0,4}\\?$)"
        ),
    ),
    Kind(
        "image pull",
        nothing,
        re.compile(
            r"[0-9a-f]{64}\s*$|Unable to find image '|Status: (?:Downloaded|Image)|Digest: sha256"
            r"|[\w.-]{1,40}: Pulling from |[0-9a-f]{12}: (?:Pull|Already|Download|Waiting|Verifying)"
        ),
    ),
)
