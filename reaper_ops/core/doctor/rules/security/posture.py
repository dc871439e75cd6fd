"""How the server is run: its version, its user, what it writes down."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.security.exposure import reachable, truthy
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.inventory import releases
from reaper_ops.core.inventory.environment import version_key
from reaper_ops.core.inventory.releases import Vulnerability

READ_BY_ANYONE = "0.17.1"
LOGIN = re.compile(r"\b(\w{1,64}):?(https?://)[^/@\s\"']{1,256}@([^\s\]\"']{1,256})")
WHOLE = re.compile(
    r"^/(?:etc|root|home|var|usr|boot|dev|proc|sys|var/run/docker\.sock|run/docker\.sock|var/lib/docker)?$"
)
REQUESTS = "OLLAMA_DEBUG_LOG_REQUESTS"


def vulnerable_version(case: HostEvidence) -> Finding | None:
    """This version has known vulnerabilities.

    `reaper_ops/data/vulnerabilities.json` lists them with their sources. Most need only a request to the API, so how
    much they matter depends on who can reach the port.

    Signals:
    - nothing, until someone exploits it

    Not to be confused with:
    - version-skew: a version other than the configured one, vulnerable or not.

    Sources:
    - https://github.com/golang/vulndb
    - https://github.com/golang/vulndb/issues/5748
    - https://www.cyera.com/research/bleeding-llama-critical-unauthenticated-memory-leak-in-ollama
    """
    version = case.seen.version
    rows = sorted(releases.affecting(version or ""), key=Vulnerability.bound, reverse=True)
    if version is None or not rows:
        return None
    worst = next((row for row in rows if row.refused or row.fixed == READ_BY_ANYONE), rows[0])
    count = f"{len(rows)} known vulnerabilities" if len(rows) > 1 else "a known vulnerability"
    listed = (worst, *(row for row in rows if row is not worst))[:4]
    evidence = (Evidence("GET /api/version", version), *(Evidence(row.source, row.described()) for row in listed))
    exposed = case.settings.exposure == "open" or bool(reachable(case))
    severe = exposed and (worst.refused or worst.fixed == READ_BY_ANYONE)
    return Finding(
        f"Ollama {version} has {count}: {worst.id}, {worst.what}",
        evidence,
        values={"recommended": releases.recommended()},
        severity=Severity.ERROR if severe else Severity.WARNING,
        steps=_upgrade(case, rows[0].bound()),
        urgent=exposed and worst.refused,
    )


def _upgrade(case: HostEvidence, bound: tuple[int, ...]) -> tuple[Step, ...]:
    """The driver matters only to NVIDIA cards; the inventory may already ask for a version without these faults."""
    driver = (_DRIVER,) if case.facts is None or case.facts.gpu.vendor() == "nvidia" else ()
    configured = case.settings.ollama_managed and version_key(case.settings.ollama_version) > bound
    return (*driver, _UPGRADE) if configured else (*driver, _RECOMMENDED, _UNTIL)


def runs_as_root(case: HostEvidence) -> Finding | None:
    """The server runs as root.

    A hand-written unit has no `User=`, or a container runs as root and mounts whole directories of the host. A flaw in
    the server then exposes the whole machine.

    Signals:
    - `ps` shows root as the owner of `ollama serve`

    Not to be confused with:
    - the official image, which runs as root inside and mounts only its models.
    - a host to which the inventory connects as root, with `ollama_runtime: process`: the server runs as that user.

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
    summary, values = f"the server (pid {facts.process.pid}) runs as root", {"pid": str(facts.process.pid)}
    if runtime == "systemd":
        return Finding(summary, tuple(evidence))
    return Finding(summary, tuple(evidence), values=values, steps=(_END, _RESTART))


def _sees_the_host(case: HostEvidence) -> Finding | None:
    for box in case.traces.containers or ():
        wide = [mount.source for mount in box.mounts if mount.kind == "bind" and WHOLE.match(mount.source)]
        if box.serves and box.state == "running" and wide and box.user in {"", "0", "root", "0:0"}:
            evidence = Evidence("docker inspect", f"{box.name}: user root, mounts {', '.join(wide)}")
            summary = f"the container {box.name} runs as root and mounts {', '.join(wide)} of the host"
            return Finding(summary, (evidence,), values={"name": box.name}, steps=(_MOUNTS, _RECREATE))
    return None


def secrets_in_logs(case: HostEvidence) -> Finding | None:
    """The server's log contains a password, or the requests of its users.

    At each start the server logs its environment, proxy passwords included; with OLLAMA_DEBUG_LOG_REQUESTS it keeps
    whole requests.

    Signals:
    - `HTTPS_PROXY:http://name:password@proxy` in the line `server config`

    Not to be confused with:
    - what reaper_ops shows and saves: passwords are masked before they leave the host.

    Sources:
    - envconfig of Ollama (AsMap)
    - https://github.com/ollama/ollama/issues/9170
    """
    lines = signatures.lines_with(case.facts.journal if case.facts else None, 'msg="server config"')
    logins = [match for line in lines if "@" in line for match in LOGIN.finditer(line)]
    if logins:
        masked = dict.fromkeys(f"{match[1]}:{match[2]}***@{match[3]}" for match in logins)
        evidence = tuple(Evidence("server log", f"server config … {text}") for text in list(masked)[:2])
        steps = (_PROXY, _PASSWORD, _old_lines(case))
        return Finding("the password of a proxy is in the server's log", evidence, steps=steps)
    value = case.environ.get(REQUESTS, "")
    if not truthy(value) or REQUESTS in case.settings.ollama_env:
        return None
    evidence = (Evidence("environment of the server", f"{REQUESTS}={value}"),)
    return Finding("the server writes the requests of its users to files", evidence, steps=(_QUIET,))


def _old_lines(case: HostEvidence) -> Step:
    if case.settings.ollama_runtime == "process":
        return Step("Remove the old lines.", f"truncate -s 0 {case.home}/ollama.log")
    return _NEW_CONTAINER if case.settings.ollama_runtime == "docker" else _OLD_LINES


_DRIVER = Step("Check the driver first: Ollama 0.30 and newer need NVIDIA 550, older cards 570.", "nvidia-smi")
_UPGRADE = Step("Upgrade to the version in the inventory.", "{up}", Automate.ASK, "apply")
_RECOMMENDED = Step("Upgrade: set `ollama_version: {recommended}` in the inventory; then", "{up}")
_UNTIL = Step("Until then, listen on loopback only and pull models only from registries that you trust.")
_END = Step("Stop the server that runs as root.", "sudo kill {pid}")
_RESTART = Step("Start it as the user that the inventory connects with.", "{up}")
_MOUNTS = Step(
    "Find what creates the container {name} (a script, a compose file), and leave out these mounts.",
    "docker inspect -f '{{json .HostConfig.Binds}}' {name}",
)
_RECREATE = Step(
    "Recreate the container from the inventory; with `ollama_adopt: true` also one that others created.",
    "{up}",
    Automate.ASK,
    "apply",
)
_PROXY = Step("Use a proxy that needs no password, or have it admit the host by its address; then", "{up}")
_PASSWORD = Step("Change the password: everyone who can read the log has it.")
_OLD_LINES = Step(
    "Remove the old lines. The journal cannot remove single lines, so this removes those of all services.",
    "sudo journalctl --rotate && sudo journalctl --vacuum-time=1s",
)
_NEW_CONTAINER = Step("The old lines go with the old container, which `up` replaces when its proxy changes.")
_QUIET = Step("Set the server's variables to those of the inventory.", "{up}", Automate.ASK, "apply")

RULES = (
    Rule(
        vulnerable_version,
        Severity.WARNING,
        steps=(_DRIVER, _RECOMMENDED, _UNTIL),
        needs=("http",),
        verify="curl -s http://127.0.0.1:{port}/api/version",
    ),
    Rule(
        runs_as_root,
        Severity.WARNING,
        steps=(
            Step(
                "Run the server as user ollama; with `ollama_adopt: true` also where others wrote the unit.",
                "{up}",
                Automate.ASK,
                "apply",
            ),
            Step("Give that user the models.", "sudo chown -R ollama:ollama {models_dir}"),
        ),
    ),
    Rule(
        secrets_in_logs,
        Severity.WARNING,
        steps=(_PROXY, _PASSWORD, _OLD_LINES),
        needs=("journal.log",),
    ),
)
