"""A firewall between the client and a healthy server."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import service
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.probe import went_well
from reaper_ops.core.health.report import Evidence

SETTLED = 60


def firewall_drop(case: HostEvidence) -> Finding | None:
    """A firewall drops the packets, so a connection gets no answer at all.

    ufw, cloud security groups and Windows drop by default what is not allowed.

    Signals:
    - `curl: (28) Connection timed out`; Python's TimeoutError; browsers spin

    Not to be confused with:
    - server-hung, starting-up: the connection is accepted, and stays silent.
    - firewall-reject: the refusal comes at once.
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
    rule, local = _rule(case, "firewall-drops"), _answer(case)
    if rule is None and local is None:
        return None
    where = "the host's own firewall drops" if rule else _where(case)
    sure = Confidence.CERTAIN if rule and local and not _hole(case) else Confidence.LIKELY
    evidence = [
        exchange_evidence(silent),
        *([local] if local else []),
        *([port.listens(case)] if port.holders(case) else []),
    ]
    summary = f"{where} connections to port {case.settings.ollama_port}"
    return Finding(summary, (*evidence, *([rule] if rule else [])), sure, steps=_steps(case, rule))


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
    verdict, rule = case.verdict_of("firewall-reject"), _rule(case, "firewall-rejects")
    local, steps = _answer(case), _steps(case, rule)
    sure = Confidence.CERTAIN if rule else Confidence.LIKELY
    whose = "the host's own firewall" if rule else "a firewall"
    summary = f"{whose} rejects connections to port {case.settings.ollama_port}"
    listed = (port.listens(case),) if port.holders(case) else ()
    if verdict is not None:
        more = (*((local,) if local else ()), *((rule,) if rule else ()))
        return Finding(summary, (*verdict.evidence, *more), sure, steps=steps)
    refused, age = port.failed(case, "refused"), port.age(case)
    if refused is None or local is None or not port.meant(case) or port.reach(case) != "wide":
        return None
    if age is not None and age < SETTLED:
        return None
    evidence = (exchange_evidence(refused), local, *listed, *((rule,) if rule else ()))
    return Finding(f"{summary}; on the host itself they work", evidence, sure, steps=steps)


def _answer(case: HostEvidence) -> Evidence | None:
    """That the server answers on the host: at the host's own address, where that was asked, otherwise at any."""
    asked = next((e for e in case.traces.asked.get("address", ()) if went_well(e)), None)
    answer = asked or port.at_home(case)
    if answer is None:
        return None
    where = answer.address or "its own address"
    return Evidence("on the host itself", f"GET {answer.path} at {where}: HTTP {answer.status}")


def _down(case: HostEvidence) -> bool:
    """Nothing would answer without a firewall either."""
    return port.at_home(case) is None and service.running(case) is None


def _rule(case: HostEvidence, signature: str) -> Evidence | None:
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


def _steps(case: HostEvidence, rule: Evidence | None) -> tuple[Step, ...] | None:
    """With the tool that has the rule; a published port of a container passes by ufw, and so do its rules."""
    if rule is None:
        own = case.traces.firewall
        return (_CLOUD,) if own is not None and not own else None
    if case.settings.ollama_runtime == "docker":
        return (_LOOK["iptables"], _DOCKER)
    managed = "firewalld" in " ".join((case.traces.firewall or {}).values()) or "firewalld" in rule.source
    tool = "firewalld" if managed else "ufw" if "ufw" in (case.traces.firewall or {}) else rule.source
    return (_LOOK[tool], _ALLOW[tool])


_LOOK = {
    "ufw": Step("Look at the rules.", "sudo ufw status verbose"),
    "firewalld": Step("Look at the rules.", "sudo firewall-cmd --list-all"),
    "nft": Step("Look at the rules.", "sudo nft list ruleset"),
    "iptables": Step("Look at the rules.", "sudo iptables -S"),
}
_FIREWALLD = (
    "`sudo firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=192.168.1.0/24 port port={port} "
    "protocol=tcp accept'`, then `sudo firewall-cmd --reload`"
)
_WHO = "Allow port {port} for the clients' network only, such as 192.168.1.0/24"
_ALLOW = {
    "ufw": Step(f"{_WHO}: `sudo ufw allow from 192.168.1.0/24 to any port {{port}} proto tcp`."),
    "firewalld": Step(f"{_WHO}: {_FIREWALLD}."),
    "nft": Step(
        f"{_WHO}: put `ip saddr 192.168.1.0/24 tcp dport {{port}} accept` before the rule that stops it, in the file "
        "that has the rules (mostly /etc/nftables.conf), then load that file."
    ),
    "iptables": Step(f"{_WHO}: `sudo iptables -I INPUT -s 192.168.1.0/24 -p tcp --dport {{port}} -j ACCEPT`."),
}
_DOCKER = Step(
    f"{_WHO}. A published port passes through Docker's chain, not through ufw: `sudo iptables -I DOCKER-USER -s "
    "192.168.1.0/24 -p tcp -m conntrack --ctorigdstport {port} --ctdir ORIGINAL -j RETURN`."
)
_CLOUD = Step(
    "The host has no firewall rules: allow TCP port {port} for the clients' network in the cloud's security group, or "
    "in the firewall or router on the way."
)
_GENERAL = (
    Step("Look at the rules of the host.", "sudo ufw status; sudo firewall-cmd --list-all; sudo nft list ruleset"),
    _ALLOW["ufw"],
    Step(f"With firewalld, the same rule is {_FIREWALLD}."),
    Step("In a cloud, allow the port in the security group."),
)

RULES = (
    Rule(
        firewall_drop,
        Severity.ERROR,
        steps=_GENERAL,
        explains=("timeout",),
        needs=("firewall.txt", "ss.txt"),
        question="Does every firewall and cloud security group between here and {host} allow port {port}?",
        concerns=lambda case: case.seen.failed is None or case.seen.failed.phase != "read",
    ),
    Rule(
        firewall_reject,
        Severity.ERROR,
        steps=_GENERAL,
        explains=("unreachable", "connection-refused"),
        needs=("firewall.txt", "ss.txt"),
    ),
)
