"""The server listens, but not where it is asked for."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, heard
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence


def listening_loopback_only(case: HostEvidence) -> Finding | None:
    """The server listens on its loopback address only, and is asked from outside.

    127.0.0.1 is Ollama's default. A variable that was exported in a shell does not reach the service; what counts is
    the environment of the running server.

    Signals:
    - `curl 127.0.0.1:11434` works on the host; from elsewhere
      `curl: (7) Failed to connect to 192.168.1.145 port 11434 after 0 ms`

    Not to be confused with:
    - firewall-reject, firewall-drop: there the socket is at 0.0.0.0, `*` or `::`. (`*:11434` serves IPv4, too.)
    - container-binds-loopback: the loopback address is the container's own.
    - unit-config-not-applied: the unit says 0.0.0.0, the running server does not know it yet.

    Sources:
    - https://github.com/ollama/ollama/issues/7892
    - https://github.com/ollama/ollama/issues/703
    """
    refused = port.failed(case, "refused")
    if refused is None or not port.remote(case) or port.stranger(case) is not None:
        return None
    verdict, found = case.blamed("listening-loopback-only"), port.reach(case)
    if found not in {"loopback", ""} or (verdict is None and found != "loopback"):
        return None
    environ = case.environ.get("OLLAMA_HOST") if case.settings.ollama_runtime != "docker" else None
    said = (Evidence("/proc/PID/environ", f"OLLAMA_HOST={environ}"),) if environ else ()
    seen = (port.listens(case),) if found else verdict.evidence[1:] if verdict else ()
    local = port.at_home(case)
    asked = (Evidence("on the host itself", f"{heard(local).source}: HTTP {local.status}"),) if local else ()
    summary = "the server listens on its loopback address only, and was asked from outside"
    steps = (_APPLY,) if case.settings.exposure == "open" else None
    return Finding(summary, (heard(refused), *seen, *said, *asked), steps=steps)


_APPLY = Step("Bring the server to its wish, which is to listen outside.", "{up}", Automate.ASK, "apply")

RULES = (
    Rule(
        listening_loopback_only,
        Severity.ERROR,
        steps=(
            Step(
                "If others shall use it: `exposure: open` and `ollama_bind: 0.0.0.0` (or one private address) in the "
                "inventory. Ollama has no authentication: keep a firewall or a gateway in front of it."
            ),
            Step("Then apply.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("connection-refused",),
        needs=("ss.txt",),
    ),
)
