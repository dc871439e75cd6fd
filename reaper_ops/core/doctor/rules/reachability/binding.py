"""The server listens, but not at the address that clients use."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, exchange_evidence
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence


def listening_loopback_only(case: HostEvidence) -> Finding | None:
    """The server listens on loopback only, and clients use another address.

    127.0.0.1 is Ollama's default. A variable that somebody exported in a shell does not reach the service; only the
    environment of the running server counts.

    Signals:
    - `curl 127.0.0.1:11434` works on the host; from elsewhere
      `curl: (7) Failed to connect to 192.168.1.145 port 11434 after 0 ms`

    Not to be confused with:
    - firewall-reject, firewall-drop: the socket is at 0.0.0.0, `*` or `::`. (`*:11434` serves IPv4, too.)
    - container-binds-loopback: the loopback address is the container's own.
    - unit-config-not-applied: the unit has 0.0.0.0, and the running server does not have it yet.

    Sources:
    - https://github.com/ollama/ollama/issues/7892
    - https://github.com/ollama/ollama/issues/703
    """
    refused = port.failed(case, "refused")
    if refused is None or not port.remote(case) or port.stranger(case) is not None:
        return None
    verdict, found = case.verdict_of("listening-loopback-only"), port.reach(case)
    if found not in {"loopback", ""} or (verdict is None and found != "loopback"):
        return None
    environ = case.environ.get("OLLAMA_HOST") if case.settings.ollama_runtime != "docker" else None
    configured = (Evidence("environment of the server", f"OLLAMA_HOST={environ}"),) if environ else ()
    listening = (port.listens(case),) if found else verdict.evidence[1:] if verdict else ()
    local = port.at_home(case)
    answered = (
        (Evidence("on the host itself", f"{exchange_evidence(local).source}: HTTP {local.status}"),) if local else ()
    )
    what = "the container's port is published" if case.settings.ollama_runtime == "docker" else "the server listens"
    summary = f"{what} on loopback only, so {case.seen.url} is refused"
    steps = (_APPLY,) if case.settings.exposure == "open" else None
    return Finding(summary, (exchange_evidence(refused), *listening, *configured, *answered), steps=steps)


_APPLY = Step("Apply the inventory, which has the server listen beyond loopback.", "{up}", Automate.ASK, "apply")

RULES = (
    Rule(
        listening_loopback_only,
        Severity.ERROR,
        steps=(
            Step(
                "If other hosts are to use it, set `exposure: open` and `ollama_bind: 0.0.0.0` (or one private "
                "address) in the inventory. Ollama has no authentication: keep a firewall or a gateway in front of it."
            ),
            Step("Then apply.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("connection-refused",),
        needs=("ss.txt",),
    ),
)
