"""What the platform brings in: the network of WSL, the health check of a container."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, heard
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

FETCHERS = ("curl", "wget")


def wsl2_network_isolation(case: HostEvidence) -> Finding | None:
    """Ollama runs inside WSL 2, whose network lies behind Windows.

    WSL 2 is a virtual machine behind NAT. Windows passes on what comes from itself to localhost, nothing from the
    LAN, and its own firewall comes on top.

    Signals:
    - works inside WSL and on Windows' localhost; refused or timed out from the LAN
    - a container in WSL does not reach an Ollama on Windows

    Not to be confused with:
    - listening-loopback-only: first let the server listen on 0.0.0.0 inside WSL.
    - firewall-drop on a machine of its own.

    Sources:
    - https://github.com/ollama/ollama/issues/1431
    - https://github.com/ollama/ollama/issues/14947
    """
    failed, facts = port.failed(case, "refused", "timeout", "unreachable"), case.facts
    if failed is None or facts is None or not port.meant(case) or failed.phase not in {"connect", "resolve", ""}:
        return None
    if "microsoft" not in facts.system.kernel.lower() and facts.system.container != "wsl":
        return None
    local = port.at_home(case)
    if local is None or port.reach(case) not in {"wide", "address"}:
        return None
    asked = Evidence("on the host itself", f"GET {local.path}: HTTP {local.status}")
    summary = "the server answers inside WSL, and Windows does not pass the port on"
    return Finding(
        summary, (heard(failed), asked, Evidence("uname -r", facts.system.kernel)), Confidence.LIKELY, _address(case)
    )


def _address(case: HostEvidence) -> dict[str, str]:
    own = [text for text in case.traces.addresses or () if "." in text and not text.startswith("127.")]
    return {"address": own[0]} if own else {}


def healthcheck_no_curl(case: HostEvidence) -> Finding | None:
    """The container is called unhealthy because its health check uses a program that is not in the image.

    The image of Ollama has neither curl nor wget. The server is well; but what waits for `service_healthy` never
    starts.

    Signals:
    - Compose: `dependency failed to start: container ollama is unhealthy`

    Not to be confused with:
    - a check that runs, and fails: then the server itself is the patient.

    Sources:
    - https://github.com/ollama/ollama/issues/9781
    - Dockerfile of Ollama
    """
    for box in case.traces.containers or ():
        if not box.serves or box.health not in {"unhealthy", "starting"}:
            continue
        hits = [
            hit for hit in signatures.hits("docker", box.health_log) if hit.signature.id == "healthcheck-no-program"
        ]
        asked = next((name for name in FETCHERS if any(name in word.split() for word in box.health_test)), "")
        blind = box.health == "unhealthy" and asked and not box.health_log and port.at_home(case) is not None
        if not hits and not blind:
            continue
        program = (hits[-1].groups.get("program") or hits[-1].groups.get("name") or asked) if hits else asked
        said = Evidence("docker inspect, Health", excerpt(hits[-1].line, 200)) if hits else None
        test = Evidence("docker inspect, Healthcheck", " ".join(box.health_test))
        sure = Confidence.CERTAIN if hits else Confidence.LIKELY
        summary = (
            f"the container {box.name} is called {box.health}: its health check needs {program}, which its image lacks"
        )
        ours = case.settings.ollama_managed and box is port.container(case)
        steps = (_APPLY,) if ours else None
        return Finding(summary, (*((said,) if said else ()), test), sure, steps=steps)
    return None


_APPLY = Step("Recreate the container with a check that needs nothing but bash.", "{up}", Automate.ASK, "apply")

RULES = (
    Rule(
        wsl2_network_isolation,
        Severity.ERROR,
        steps=(
            Step(
                "On Windows, in %UserProfile%\\.wslconfig: `[wsl2]` and `networkingMode=mirrored`; then:",
                "wsl --shutdown",
            ),
            Step(
                "Or, in an administrator's PowerShell, pass the port on to WSL, again when its address changes.",
                "netsh interface portproxy add v4tov4 listenport={port} listenaddress=0.0.0.0 connectport={port} "
                "connectaddress={address}",
                unknown="Or, in an administrator's PowerShell, pass the port on with `netsh interface portproxy` to "
                "port {port} of the address that `wsl hostname -I` prints.",
            ),
            Step("Allow port {port} in the Windows firewall, for the private network only."),
        ),
        explains=("firewall-drop", "firewall-reject", "timeout", "connection-refused", "unreachable"),
        needs=("ss.txt",),
        question="Is {host} a Windows machine with Ollama inside WSL? Then Windows must pass port {port} on.",
        concerns=lambda case: case.may_be_windows,
    ),
    Rule(
        healthcheck_no_curl,
        Severity.WARNING,
        steps=(
            Step(
                "In the Compose file: `healthcheck: {test: ['CMD', 'ollama', 'list'], interval: 10s, timeout: 5s, "
                "start_period: 60s, retries: 5}`; then recreate the container.",
                "docker compose up -d",
            ),
        ),
        needs=("docker-inspect.json",),
    ),
)
