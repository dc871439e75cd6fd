"""How the server is run: its version, its user, what it writes down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reaper_ops import assets
from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.security.exposure import reachable, truthy
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.inventory.environment import version_key
from reaper_ops.core.inventory.settings.model import newest_release

READ_BY_ANYONE = "0.17.1"
LOGIN = re.compile(r"\b(\w{1,64}):?(https?://)[^/@\s\"']{1,256}@([^\s\]\"']{1,256})")
WHOLE = re.compile(
    r"^/(?:etc|root|home|var|usr|boot|dev|proc|sys|var/run/docker\.sock|run/docker\.sock|var/lib/docker)?$"
)
REQUESTS = "OLLAMA_DEBUG_LOG_REQUESTS"


def vulnerable_version(case: HostEvidence) -> Finding | None:
    """This version has known vulnerabilities.

    They are listed with their sources in `reaper_ops/data/vulnerabilities.json`. Most need only a request to the API;
    who can reach the port decides how much that matters.

    Signals:
    - nothing, until it is abused

    Not to be confused with:
    - version-skew: an older version than wished, with or without known faults.

    Sources:
    - https://github.com/golang/vulndb
    - https://github.com/golang/vulndb/issues/5748
    - https://www.cyera.com/research/bleeding-llama-critical-unauthenticated-memory-leak-in-ollama
    """
    version = case.seen.version
    key = version_key(version or "")
    if version is None or len(key) < 3 or key == (0, 0, 0):
        return None
    known = [row for row in assets.data("vulnerabilities.json")["known"] if _affects(row, key)]
    if not known:
        return None
    known.sort(key=_bound, reverse=True)
    worst = next((row for row in known if row["fixed"] == READ_BY_ANYONE), known[0])
    count = f"{len(known)} known vulnerabilities" if len(known) > 1 else "a known vulnerability"
    summary = f"Ollama {version} has {count}: {worst['id']}, {worst['what']}"
    shown = (worst, *(row for row in known if row is not worst))[:4]
    evidence = (Evidence("GET /api/version", version), *(Evidence(row["source"], _says(row)) for row in shown))
    exposed = case.settings.exposure == "open" or bool(reachable(case))
    severe = exposed and key < version_key(READ_BY_ANYONE)
    wished = case.settings.ollama_managed and version_key(case.settings.ollama_version) > _bound(known[0])
    return Finding(
        summary,
        evidence,
        values={"newest": newest_release()},
        severity=Severity.ERROR if severe else Severity.WARNING,
        steps=(_DRIVER, _UPGRADE) if wished else None,
    )


def _affects(row: Mapping[str, Any], key: tuple[int, ...]) -> bool:
    return key < version_key(row["fixed"]) if row["fixed"] else key <= version_key(row["through"])


def _bound(row: Mapping[str, Any]) -> tuple[int, ...]:
    return version_key(row["fixed"] or row["through"])


def _says(row: Mapping[str, Any]) -> str:
    until = f"fixed in {row['fixed']}" if row["fixed"] else f"named for versions up to {row['through']}"
    return f"{row['id']}: {row['what']}; {until}"


def runs_as_root(case: HostEvidence) -> Finding | None:
    """The server runs as root.

    A unit written by hand has no `User=`; or a container runs as root and sees whole directories of the host. A fault
    in the server is then a fault of the whole machine.

    Signals:
    - `ps` shows root as the owner of `ollama serve`

    Not to be confused with:
    - the ordinary image, which is root inside and has only its models mounted.
    - a host that the inventory reaches as root, with `ollama_runtime: process`: it runs as whoever starts it.

    Sources:
    - docs/linux.mdx of Ollama
    """
    runtime, facts = case.settings.ollama_runtime, case.facts
    if facts is None:
        return None
    if runtime == "docker":
        return _sees_the_host(case)
    root = facts.process is not None and facts.process.uid == 0
    if not root or facts.process is None or (runtime == "process" and facts.system.uid == 0):
        return None
    evidence = [Evidence(f"/proc/{facts.process.pid}/status", "Uid 0")]
    if runtime == "systemd":
        evidence.append(Evidence("systemctl show", f"User={case.unit.get('User', '')}"))
    return Finding(f"the server (pid {facts.process.pid}) runs as root", tuple(evidence))


def _sees_the_host(case: HostEvidence) -> Finding | None:
    for box in case.traces.containers or ():
        wide = [mount.source for mount in box.mounts if mount.kind == "bind" and WHOLE.match(mount.source)]
        if box.serves and box.state == "running" and wide and box.user in {"", "0", "root", "0:0"}:
            evidence = Evidence("docker inspect", f"{box.name}: user root, mounts {', '.join(wide)}")
            return Finding(f"the container runs as root and sees {', '.join(wide)} of the host", (evidence,))
    return None


def secrets_in_logs(case: HostEvidence) -> Finding | None:
    """The server's log holds a password, or what its users ask.

    At each start the server prints its environment, proxy passwords included; with OLLAMA_DEBUG_LOG_REQUESTS it keeps
    whole requests.

    Signals:
    - `HTTPS_PROXY:http://name:password@proxy` in the line `server config`

    Not to be confused with:
    - what reaper_ops itself shows and saves: there passwords are replaced before they leave the host.

    Sources:
    - envconfig of Ollama (AsMap)
    - https://github.com/ollama/ollama/issues/9170
    """
    lines = signatures.lines_with(case.facts.journal if case.facts else None, 'msg="server config"')
    found = [match for line in lines if "@" in line for match in LOGIN.finditer(line)]
    if found:
        shown = dict.fromkeys(f"{match[1]}:{match[2]}***@{match[3]}" for match in found)
        evidence = tuple(Evidence("server log", f"server config … {text}") for text in list(shown)[:2])
        return Finding("the password of a proxy stands in the server's log", evidence)
    value = case.environ.get(REQUESTS, "")
    if not truthy(value) or REQUESTS in case.settings.ollama_env:
        return None
    said = Evidence("environment of the server", f"{REQUESTS}={value}")
    return Finding("the server keeps the requests of its users in files", (said,), steps=(_QUIET,))


_DRIVER = Step("On NVIDIA look at the driver first: 0.30 and newer need 550, older cards 570.", "nvidia-smi")
_UPGRADE = Step("Upgrade to the version that the inventory wishes.", "{up}", Automate.ASK, "apply")
_QUIET = Step("Bring the server's variables to the inventory's wish.", "{up}", Automate.ASK, "apply")

RULES = (
    Rule(
        vulnerable_version,
        Severity.WARNING,
        steps=(
            _DRIVER,
            Step("Upgrade: `ollama_version: {newest}` in the inventory, then bring the host to it.", "{up}"),
            Step("Until then: loopback only, models only from registries that are trusted."),
        ),
        needs=("http",),
        verify="curl -s http://127.0.0.1:{port}/api/version",
    ),
    Rule(
        runs_as_root,
        Severity.WARNING,
        steps=(
            Step(
                "Run it as user ollama; with `ollama_adopt: true` also where another wrote the unit.",
                "{up}",
                Automate.ASK,
                "apply",
            ),
            Step("Give it its models.", "sudo chown -R ollama:ollama {models_dir}"),
        ),
    ),
    Rule(
        secrets_in_logs,
        Severity.WARNING,
        steps=(
            Step("Give the server a proxy that needs no password, or allow it by its address; then", "{up}"),
            Step("Change the password: everyone who may read the log has it."),
            Step(
                "Remove the old lines. The journal has no way to remove some: those of all services go.",
                "sudo journalctl --rotate && sudo journalctl --vacuum-time=1s",
            ),
        ),
        needs=("journal.log",),
    ),
)
