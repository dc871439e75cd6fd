"""The service itself: not there, or not running."""

from __future__ import annotations

from reaper_ops.core.finding import Automate, Finding, Severity, Step
from reaper_ops.core.rules.case import Case
from reaper_ops.core.rules.rule import Rule


def service_not_installed(case: Case) -> Finding | None:
    """Ollama is not installed on this host.

    There is no unit, no container and no release of ours; or the binary was unpacked by hand, which makes no unit.

    Seen as:
    - `curl: (7) Failed to connect to localhost port 11434: Couldn't connect to server`
    - `ollama: command not found`

    Told apart from:
    - service-not-running: there a unit or a container exists. Over the network the two look the same.

    Sources:
    - install.sh of Ollama
    - https://github.com/ollama/ollama/issues/15940
    """
    verdict = case.blamed("service-not-installed")
    return Finding(verdict.summary, verdict.evidence) if verdict else None


def service_not_running(case: Case) -> Finding | None:
    """Ollama is installed, and stopped.

    The service was stopped by hand, or never enabled, or the machine has no systemd, where the vendor's installer
    only warns.

    Seen as:
    - `Error: could not connect to ollama server, run 'ollama serve' to start it`
    - `[Errno 111] Connection refused`, `connect ECONNREFUSED 127.0.0.1:11434`

    Told apart from:
    - service-crash-looping: NRestarts grows; here it stays.
    - oompolicy-stops-service: Result=oom-kill; here it is success.

    Sources:
    - https://github.com/ollama/ollama/issues/3200
    - https://github.com/ollama/ollama/issues/7697
    """
    verdict = case.blamed("service-not-running")
    return Finding(verdict.summary, verdict.evidence) if verdict else None


RULES = (
    Rule(
        service_not_installed,
        Severity.ERROR,
        steps=(Step("Install it, as the inventory wishes.", "{up}", Automate.ASK, "apply"),),
        explains=("connection-refused",),
        needs=("systemctl-show.txt",),
    ),
    Rule(
        service_not_running,
        Severity.ERROR,
        steps=(Step("Start it, now and at boot.", "{start}", Automate.SAFE, "start"),),
        explains=("connection-refused",),
        needs=("systemctl-show.txt", "docker-inspect.json", "journal.log"),
    ),
)
