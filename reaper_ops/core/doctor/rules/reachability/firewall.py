"""A firewall between the client and a server that is well."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import service
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, heard
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.probe import went_well
from reaper_ops.core.health.report import Evidence

SETTLED = 60


def firewall_drop(case: HostEvidence) -> Finding | None:
    """A firewall drops the packets, so a connection gets no answer at all.

    The default of ufw, of cloud security groups and of Windows is to drop what is not allowed.

    Signals:
    - `curl: (28) Connection timed out`; Python's TimeoutError; browsers spin

    Not to be confused with:
    - server-hung, starting-up: there the connection is accepted, and then silent.
    - firewall-reject: the answer comes at once.
    - a host that is off: nothing else on it answers either.

    Sources:
    - https://github.com/ollama/ollama/issues/8759
    - https://github.com/ollama/ollama/issues/5959
    """
    silent, facts = port.failed(case, "timeout"), case.facts
    if silent is None or silent.phase not in {"connect", "resolve", ""} or facts is None or not port.meant(case):
        return None
    if port.reach(case) in {"loopback"} or _down(case):
        return None
    rules, local = _rules(case, "firewall-drops"), _well(case)
    if rules is None and local is None:
        return None
    where = "the host's own firewall drops" if rules else _where(case)
    sure = Confidence.CERTAIN if rules and local and not _hole(case) else Confidence.LIKELY
    seen = [heard(silent), *([local] if local else []), *([port.listens(case)] if port.holders(case) else [])]
    return Finding(
        f"{where} connections to port {case.settings.ollama_port}", (*seen, *([rules] if rules else [])), sure
    )


def firewall_reject(case: HostEvidence) -> Finding | None:
    """A firewall rejects the connection, at once.

    firewalld answers `host prohibited`, which a client reads as `No route to host` (errno 113). A rule that answers
    with a reset or with `port unreachable` looks exactly like a port on which nobody listens.

    Signals:
    - Python `[Errno 113] No route to host`, at once, while the host answers ping
    - curl hides it: `(7) Couldn't connect to server`

    Not to be confused with:
    - service-not-running: there the host itself is refused, too.
    - listening-loopback-only: there the socket is at 127.0.0.1.
    - no host at that address: errno 113 comes after some seconds.

    Sources:
    - https://github.com/ollama/ollama/issues/8759
    - errno by kind of rule, measured in a network namespace
    """
    verdict, rules = case.blamed("firewall-reject"), _rules(case, "firewall-rejects")
    local = _well(case)
    listed = (port.listens(case),) if port.holders(case) else ()
    if verdict is not None:
        more = (*((local,) if local else ()), *((rules,) if rules else ()))
        sure = Confidence.CERTAIN if rules else Confidence.LIKELY
        return Finding("a firewall rejects the connection", (*verdict.evidence, *more), sure)
    refused, age = port.failed(case, "refused"), port.age(case)
    if refused is None or local is None or not port.meant(case) or port.reach(case) != "wide":
        return None
    if age is not None and age < SETTLED:
        return None
    summary = f"a firewall rejects connections to port {case.settings.ollama_port}; on the host itself they work"
    sure = Confidence.CERTAIN if rules else Confidence.LIKELY
    return Finding(summary, (heard(refused), local, *listed, *((rules,) if rules else ())), sure)


def _well(case: HostEvidence) -> Evidence | None:
    """That the server answers on the host: at the host's own address, where that was asked, or else at any."""
    asked = next((e for e in case.traces.asked.get("address", ()) if went_well(e)), None)
    answer = asked or port.at_home(case)
    if answer is None:
        return None
    where = answer.address or "its own address"
    return Evidence("on the host itself", f"GET {answer.path} at {where}: HTTP {answer.status}")


def _down(case: HostEvidence) -> bool:
    """Nobody would answer without a firewall either."""
    return port.at_home(case) is None and service.running(case) is None


def _rules(case: HostEvidence, signature: str) -> Evidence | None:
    """A rule about our port; or a default, which does not touch the published port of a container."""
    number, docker = str(case.settings.ollama_port), case.settings.ollama_runtime == "docker"
    for tool, text in (case.traces.firewall or {}).items():
        for hit in signatures.hits("firewall", text):
            if hit.signature.id != signature:
                continue
            ports = hit.groups.get("ports") or hit.groups.get("dport")
            if number in ports.split(",") if ports else not docker or "DOCKER-USER" in hit.line:
                return Evidence(tool, excerpt(hit.line, 120))
    return None


def _hole(case: HostEvidence) -> bool:
    """A rule that lets somebody through to our port, perhaps not this client."""
    port = case.settings.ollama_port
    number = re.compile(rf"\b{port}\b(?:(?!{port}).){{0,300}}(?:ACCEPT|ALLOW|accept)")
    return any(number.search(text) for text in (case.traces.firewall or {}).values())


def _where(case: HostEvidence) -> str:
    own = case.traces.firewall
    return "a firewall between here and the host drops" if own is not None and not own else "a firewall drops"


_LOOK = Step("See the rules.", "sudo ufw status; sudo firewall-cmd --list-all; sudo nft list ruleset")
_ALLOW = Step(
    "Allow the port for the clients' network only; put that network in place of 192.168.1.0/24. In a cloud it is the "
    "security group.",
    "sudo ufw allow from 192.168.1.0/24 to any port {port} proto tcp",
)
_FIREWALLD = Step(
    "With firewalld:",
    "sudo firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=192.168.1.0/24 port port={port} "
    "protocol=tcp accept' && sudo firewall-cmd --reload",
)

RULES = (
    Rule(
        firewall_drop,
        Severity.ERROR,
        steps=(_LOOK, _ALLOW, _FIREWALLD),
        explains=("timeout",),
        needs=("firewall.txt", "ss.txt"),
        question="Does a firewall or a cloud security group between here and {host} let port {port} through?",
    ),
    Rule(
        firewall_reject,
        Severity.ERROR,
        steps=(_LOOK, _ALLOW, _FIREWALLD),
        explains=("unreachable", "connection-refused"),
        needs=("firewall.txt", "ss.txt"),
    ),
)
