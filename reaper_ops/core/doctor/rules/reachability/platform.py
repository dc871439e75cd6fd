"""What the platform adds: the network of WSL, the health check of a container."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

FETCHERS = ("curl", "wget")


def wsl2_network_isolation(case: HostEvidence) -> Finding | None:
    """Ollama runs inside WSL 2, whose network is behind Windows.

    WSL 2 is a virtual machine behind NAT. Windows forwards its own connections to localhost, but nothing from the LAN,
    and the Windows firewall applies as well.

    Signals:
    - works inside WSL and on Windows' localhost; refused or timed out from the LAN
    - a container in WSL does not reach an Ollama on Windows

    Not to be confused with:
    - listening-loopback-only: first have the server listen on 0.0.0.0 inside WSL.
    - firewall-drop, on a host without WSL.

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
    summary = f"the server answers inside WSL, but Windows does not forward port {case.settings.ollama_port} to it"
    evidence = (exchange_evidence(failed), asked, Evidence("uname -r", facts.system.kernel))
    return Finding(summary, evidence, Confidence.LIKELY, _address(case))


def _address(case: HostEvidence) -> dict[str, str]:
    """WSL's own, where no bridge of containers makes it uncertain which one that is."""
    own = [text for text in case.traces.addresses or () if "." in text and not text.startswith("127.")]
    return {"address": own[0]} if len(own) == 1 else {}


def healthcheck_no_curl(case: HostEvidence) -> Finding | None:
    """Docker reports the container as unhealthy, because its health check uses a program that the image lacks.

    The image of Ollama has neither curl nor wget. The server is healthy, but whatever waits for `service_healthy`
    never starts.

    Signals:
    - Compose: `dependency failed to start: container ollama is unhealthy`

    Not to be confused with:
    - a check that runs and fails: then something is wrong with the server itself.

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
        logged = (Evidence("docker inspect, Health", excerpt(hits[-1].line, 200)),) if hits else ()
        test = Evidence("docker inspect, Healthcheck", " ".join(box.health_test))
        sure = Confidence.CERTAIN if hits else Confidence.LIKELY
        summary = (
            f"Docker reports the container {box.name} as {box.health}: its health check needs {program}, which the "
            "image lacks"
        )
        ours = case.settings.ollama_managed and box is port.container(case)
        steps = (_APPLY,) if ours else None
        return Finding(summary, (*logged, test), sure, steps=steps)
    return None


_APPLY = Step("Recreate the container with a health check that needs only bash.", "{up}", Automate.ASK, "apply")
_MIRRORED = Step(
    "On Windows 11 22H2 or newer, set `networkingMode=mirrored` under `[wsl2]` in %UserProfile%\\.wslconfig. Then "
    "restart WSL, which stops everything that runs in it.",
    "wsl --shutdown",
)
_FORWARD = Step(
    "Or, on older versions, forward the port in PowerShell as administrator. Repeat it after each restart of WSL.",
    "netsh interface portproxy add v4tov4 listenport={port} listenaddress=0.0.0.0 connectport={port} "
    "connectaddress={address}",
    unknown="Or, on older versions, forward the port with `netsh interface portproxy add v4tov4` in PowerShell as "
    "administrator. `wsl hostname -I` prints the addresses of WSL; they change at each restart.",
)
_ALLOW = Step(
    "Allow the port in the Windows firewall, for private networks only (PowerShell as administrator).",
    "New-NetFirewallRule -DisplayName Ollama -Direction Inbound -Protocol tcp -LocalPort {port} -Profile Private "
    "-Action Allow",
)

RULES = (
    Rule(
        wsl2_network_isolation,
        Severity.ERROR,
        steps=(
            _MIRRORED,
            _FORWARD,
            _ALLOW,
        ),
        explains=("firewall-drop", "firewall-reject", "timeout", "connection-refused", "unreachable"),
        needs=("ss.txt",),
        question="Is {host} a Windows machine with Ollama inside WSL? Then Windows must forward port {port} to it.",
        concerns=lambda case: case.may_be_windows,
    ),
    Rule(
        healthcheck_no_curl,
        Severity.WARNING,
        steps=(
            Step(
                "In the Compose file, set `healthcheck: {test: ['CMD', 'ollama', 'list'], interval: 10s, timeout: 5s, "
                "start_period: 60s, retries: 5}`. Then recreate the container, in the directory of that file.",
                "docker compose up -d",
            ),
        ),
        needs=("docker-inspect.json",),
    ),
)
