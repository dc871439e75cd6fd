"""Names, addresses and ports as a client understands them."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State

OLLAMAS = 11434


def dns_failure(case: HostEvidence) -> Finding | None:
    """The name of the host does not resolve.

    The name is wrong, or has no entry in DNS or /etc/hosts, or needs a search domain that is not configured. A
    container finds the name of another one only in a network that both have joined.

    Signals:
    - `curl: (6) Could not resolve host`; `[Errno -2] Name or service not known`
    - Go: `lookup ollama: no such host`

    Not to be confused with:
    - `[Errno -3] Temporary failure in name resolution`: the resolver itself does not answer, so no name resolves.
    - registry-unreachable: the server cannot resolve the registry; the name of the host itself resolves.

    Sources:
    - https://github.com/ollama/ollama/issues/424
    - https://github.com/wandb/openui/issues/181
    """
    verdict, failed = case.verdict_of("dns-failure"), case.seen.failed
    if verdict is None or failed is None:
        return None
    silent = failed.errno in {-3, 3} or "[Errno -3]" in failed.detail
    summary = f"{verdict.summary}: the resolver of this machine does not answer" if silent else verdict.summary
    written = port.target(case)
    values = {"name": written.host if written else case.host}
    sure, steps = (Confidence.LIKELY, (_RESOLVER, _ASK_RESOLVER)) if silent else (Confidence.CERTAIN, None)
    return Finding(summary, verdict.evidence, sure, values, steps=steps)


def ipv6_localhost(case: HostEvidence) -> Finding | None:
    """`localhost` means ::1 to the client, and Ollama listens on IPv4 only.

    Node.js 17 and newer, among others, takes the resolver's first address, which is often ::1. Ollama's default is
    127.0.0.1.

    Signals:
    - `connect ECONNREFUSED ::1:11434`
    - `dial tcp [::1]:11434: connect: connection refused`

    Not to be confused with:
    - service-not-running: 127.0.0.1 refuses, too.

    Sources:
    - https://github.com/promptfoo/promptfoo/issues/160
    - https://github.com/ollama/ollama/issues/560
    """
    refused, written = port.failed(case, "refused"), port.target(case)
    if refused is None or not (refused.address.startswith("[::1]") or (written and written.host == "::1")):
        return None
    answered = [e for e in case.traces.asked.get("ipv4", ()) if e.status == 200]
    four = bool(answered) or any("." in listener.address for listener in port.holders(case))
    verdict = case.verdict_of("ipv6-localhost")
    if not four and verdict is None:
        return None
    over_four = Evidence("on the host itself", f"127.0.0.1 answers HTTP {answered[0].status}") if answered else None
    listening = (port.listens(case),) if port.holders(case) else ()
    evidence = (exchange_evidence(refused), *((over_four,) if over_four else ()), *listening)
    sure = Confidence.CERTAIN if answered else Confidence.LIKELY if four else Confidence.POSSIBLE
    why = (
        "the server listens on IPv4 only" if four else "Ollama listens on IPv4 only, unless it is configured otherwise"
    )
    return Finding(f"::1 refuses the connection: {why}", evidence, sure)


def client_host_misparsed(case: HostEvidence) -> Finding | None:
    """The client dials another port than the one that was meant.

    Ollama has its own rules for OLLAMA_HOST: without a scheme the port is 11434, with `http://` it is 80, with
    `https://` 443. It replaces an invalid port by 11434, with a warning. 0.0.0.0 is an address to listen on; clients
    before 0.18.3 dialed it literally, which fails on Windows.

    Signals:
    - `Failed to connect to 192.168.1.145 port 80`
    - `invalid port, using default` in the server's log

    Not to be confused with:
    - a proxy on port 80 or 443 on purpose: it answers, with 502 where Ollama does not.

    Sources:
    - envconfig/config.go of Ollama
    - https://github.com/ollama/ollama/issues/5959
    """
    return _without_port(case) or _bad_port(case)


def _without_port(case: HostEvidence) -> Finding | None:
    written = port.target(case)
    if written is None or not written.assumed_port or written.port == case.settings.ollama_port:
        return None
    failed = port.failed(case, "refused", "timeout") or (case.seen.failed if case.state is State.NOT_OLLAMA else None)
    if failed is None:
        return None
    local, proxy = port.at_home(case), _listens_on(case, written.port)
    if proxy and case.state is not State.NOT_OLLAMA:
        return None
    more = (Evidence("on the host itself", f"port {case.settings.ollama_port} answers HTTP 200"),) if local else ()
    summary = f"{case.seen.url} has no port, so the client dials {written.port} instead of {case.settings.ollama_port}"
    sure = Confidence.CERTAIN if local and not proxy else Confidence.LIKELY
    values = {"right": f"http://{port.bracketed(written.host)}:{case.settings.ollama_port}"}
    return Finding(summary, (exchange_evidence(failed), *more), sure, values)


def _bad_port(case: HostEvidence) -> Finding | None:
    """The server itself rejected its port, and took the default."""
    lines = [hit for hit in port.start_lines(case) if hit.signature.id == "port-invalid"]
    if not lines or case.state is State.HEALTHY:
        return None
    asked = lines[-1].groups["port"]
    summary = f"OLLAMA_HOST of the server has the invalid port {asked}, so it listens on {OLLAMAS} instead"
    steps = (_SET_PORT,) if case.settings.ollama_managed else (_CORRECT_PORT,)
    return Finding(summary, (Evidence("server log", excerpt(lines[-1].line, 160)),), steps=steps)


def _without_a_port(case: HostEvidence) -> bool:
    written = port.target(case)
    return written is not None and written.assumed_port


def _listens_on(case: HostEvidence, number: int) -> bool:
    return any(listener.port == number for listener in case.traces.listeners or ())


_ASK_RESOLVER = Step("On the machine that connects, see what the name resolves to.", "getent ahosts {name}")
_RESOLVER = Step(
    "On the machine that connects, check that its name servers are right and answer.", "cat /etc/resolv.conf"
)
_SET_PORT = Step("Apply the inventory, which sets port {port}.", "{up}", Automate.ASK, "apply")
_CORRECT_PORT = Step("Correct the port in OLLAMA_HOST where it is set (at most 65535), then restart the server.")

RULES = (
    Rule(
        dns_failure,
        Severity.ERROR,
        steps=(
            _ASK_RESOLVER,
            Step(
                "Correct the name in `ollama_base_url` or `ansible_host`, or add it to DNS or to /etc/hosts. Between "
                "containers, put both into one network and use the service's name."
            ),
        ),
        explains=("dns",),
    ),
    Rule(
        ipv6_localhost,
        Severity.ERROR,
        steps=(
            Step("Use http://127.0.0.1:{port} instead of localhost, in `ollama_base_url` and in clients."),
            Step(
                "Or have the server listen on IPv4 and IPv6: `ollama_bind: '::'` and `exposure: open` in the "
                "inventory, behind a firewall; then apply.",
                "{up}",
            ),
        ),
        explains=("connection-refused",),
        needs=("ss.txt",),
    ),
    Rule(
        client_host_misparsed,
        Severity.ERROR,
        steps=(Step("Write the URL with its port: {right}, in `ollama_base_url` and in OLLAMA_HOST of clients."),),
        explains=("connection-refused", "timeout", "wrong-service-on-port", "not-ollama"),
        needs=("http",),
        question="Which OLLAMA_HOST or base URL does the client have, exactly? `http://{host}` means port 80.",
        concerns=_without_a_port,
    ),
)
