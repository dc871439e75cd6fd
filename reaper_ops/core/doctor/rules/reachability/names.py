"""Names, addresses and ports as a client reads them."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, heard
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State

OLLAMAS = 11434


def dns_failure(case: HostEvidence) -> Finding | None:
    """The name of the host does not resolve.

    A wrong name, a container in another Compose network, a search domain that is not there, a missing line in
    /etc/hosts.

    Signals:
    - `curl: (6) Could not resolve host`; `[Errno -2] Name or service not known`
    - Go: `lookup ollama: no such host`

    Not to be confused with:
    - `[Errno -3] Temporary failure in name resolution`: the resolver itself cannot be reached, so no name resolves.
    - registry-unreachable: there it is the server that cannot resolve the registry.

    Sources:
    - https://github.com/ollama/ollama/issues/424
    - https://github.com/wandb/openui/issues/181
    """
    verdict, failed = case.blamed("dns-failure"), case.seen.failed
    if verdict is None or failed is None:
        return None
    later = failed.errno in {-3, 3} or "[Errno -3]" in failed.detail
    summary = f"{verdict.summary}: the resolver here does not answer" if later else verdict.summary
    written = port.target(case)
    values = {"name": written.host if written else case.host}
    return Finding(summary, verdict.evidence, Confidence.LIKELY if later else Confidence.CERTAIN, values)


def ipv6_localhost(case: HostEvidence) -> Finding | None:
    """`localhost` means ::1 to the client, and Ollama listens on IPv4 only.

    Node since 17 and others take the first address of the resolver, which is often ::1. Ollama's default is 127.0.0.1.

    Signals:
    - `connect ECONNREFUSED ::1:11434`
    - `dial tcp [::1]:11434: connect: connection refused`

    Not to be confused with:
    - service-not-running: there 127.0.0.1 refuses, too.

    Sources:
    - https://github.com/promptfoo/promptfoo/issues/160
    - https://github.com/ollama/ollama/issues/560
    """
    refused, written = port.failed(case, "refused"), port.target(case)
    if refused is None or not (refused.address.startswith("[::1]") or (written and written.host == "::1")):
        return None
    answered = [e for e in case.traces.asked.get("ipv4", ()) if e.status == 200]
    four = bool(answered) or any("." in listener.address for listener in port.holders(case))
    verdict = case.blamed("ipv6-localhost")
    if not four and verdict is None:
        return None
    said = Evidence("on the host itself", f"127.0.0.1 answers HTTP {answered[0].status}") if answered else None
    seen = [heard(refused), *([said] if said else []), *([port.listens(case)] if port.holders(case) else [])]
    sure = Confidence.CERTAIN if answered else Confidence.LIKELY if four else Confidence.POSSIBLE
    return Finding("::1 refuses: the server listens on IPv4 only", tuple(seen), sure)


def client_host_misparsed(case: HostEvidence) -> Finding | None:
    """The port that was meant is not the port that is dialled.

    Ollama reads OLLAMA_HOST by rules of its own: without a scheme the port is 11434, with `http://` it is 80, with
    `https://` 443. A port that is no number is replaced by 11434 with a warning. 0.0.0.0 is an address to listen on;
    clients before 0.18.3 dialled it as it is, which fails on Windows.

    Signals:
    - `Failed to connect to 192.168.1.145 port 80`
    - `invalid port, using default` in the server's log

    Not to be confused with:
    - a proxy on port 80 or 443 on purpose: it answers, with 502 where Ollama is away.

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
    summary = f"{case.seen.url} names no port, so port {written.port} was asked"
    sure = Confidence.CERTAIN if local and not proxy else Confidence.LIKELY
    values = {"right": f"{written.scheme}://{written.host}:{case.settings.ollama_port}"}
    return Finding(summary, (heard(failed), *more), sure, values)


def _bad_port(case: HostEvidence) -> Finding | None:
    """The server itself did not understand its port, and took the default."""
    words = [hit for hit in port.start_lines(case) if hit.signature.id == "port-invalid"]
    if not words or case.state is State.HEALTHY:
        return None
    asked = words[-1].groups["port"]
    summary = f"the server does not understand the port {asked} in its OLLAMA_HOST, and took {OLLAMAS} instead"
    steps = (
        Step("Write the port as a number: `ollama_port` in the inventory.", "{up}", Automate.ASK, "apply"),
        Step("On a host that is not managed: correct OLLAMA_HOST where it is set.", "systemctl cat ollama"),
    )
    return Finding(summary, (Evidence("server log", excerpt(words[-1].line, 160)),), steps=steps)


def _listens_on(case: HostEvidence, number: int) -> bool:
    return any(listener.port == number for listener in case.traces.listeners or ())


RULES = (
    Rule(
        dns_failure,
        Severity.ERROR,
        steps=(
            Step("See what the resolver says.", "getent ahosts {name}"),
            Step("Correct `ollama_base_url` or `ansible_host`, or give the name an entry in DNS or /etc/hosts."),
            Step("Between containers: put both into one network, and ask the service by its name."),
        ),
        explains=("dns",),
    ),
    Rule(
        ipv6_localhost,
        Severity.ERROR,
        steps=(
            Step("Ask http://127.0.0.1:{port} instead of localhost: in `ollama_base_url`, and in clients."),
            Step("Or let the server listen on both: `ollama_bind: '::'`, `exposure: open` and a firewall.", "{up}"),
        ),
        explains=("connection-refused",),
        needs=("ss.txt",),
    ),
    Rule(
        client_host_misparsed,
        Severity.ERROR,
        steps=(Step("Write the URL in full: {right} (`ollama_base_url`, and OLLAMA_HOST of clients)."),),
        explains=("connection-refused", "timeout", "wrong-service-on-port", "not-ollama"),
        needs=("http",),
        question="Which OLLAMA_HOST or base URL does the client have, letter by letter? `http://HOST` means port 80.",
    ),
)
