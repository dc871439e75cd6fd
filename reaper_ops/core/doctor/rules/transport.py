"""No HTTP answer: refused, filtered, unreachable, unnamed, silent or hung up are different faults."""

from __future__ import annotations

from reaper_ops.core import shell
from reaper_ops.core import url as base_url
from reaper_ops.core.doctor.rules import memory, service
from reaper_ops.core.doctor.rules.case import HostEvidence, Rule, Verdict, excerpt, exchange_evidence
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.errors import ReaperError

AT_ONCE_MS = 1000


def no_answer(case: HostEvidence) -> Verdict | None:
    failed = case.seen.failed
    if failed is None or not failed.error or failed.path != "/api/version":
        return None
    return _BY_ERROR.get(failed.error, _hung_up)(case)


def _failed(case: HostEvidence) -> Exchange:
    assert case.seen.failed is not None
    return case.seen.failed


def _dns(case: HostEvidence) -> Verdict:
    name = _host(case)
    return Verdict(
        State.DNS,
        f"the name {name} does not resolve",
        (exchange_evidence(_failed(case)),),
        "dns-failure",
        f"getent ahosts {shell.word_or(name, 'NAME')}; then correct `ollama_base_url` or `ansible_host`",
    )


def _refused(case: HostEvidence) -> Verdict:
    return memory.down_by_memory(case) or service.down(case) or _refused_unexplained(case)


def _refused_unexplained(case: HostEvidence) -> Verdict:
    written = _parsed(case)
    if written is not None and written.assumed_port:
        return Verdict(
            State.CONNECTION_REFUSED,
            f"nothing listens on port {written.port}; the URL names no port, and Ollama's is 11434",
            (exchange_evidence(_failed(case)),),
            "client-host-misparsed",
            f"write the port: {written.scheme}://{written.host}:11434",
        )
    if _failed(case).address.startswith("[::1]") or (written and written.host == "::1"):
        cause, hint = "ipv6-localhost", "; Ollama listens on IPv4 loopback by default"
    else:
        cause, hint = None, ""
    return Verdict(
        State.CONNECTION_REFUSED,
        f"nothing listens at {case.seen.url}{hint}",
        (exchange_evidence(_failed(case)),),
        cause,
        case.repair("systemctl status ollama; docker ps -a"),
    )


def _timeout(case: HostEvidence) -> Verdict:
    failed = _failed(case)
    if failed.phase not in {"connect", "resolve", ""}:
        return _silent(case)
    evidence: tuple[Evidence, ...] = (exchange_evidence(failed),)
    if case.facts is not None:
        running = service.running(case)
        if running:
            evidence = (*evidence, running)
        return Verdict(
            State.TIMEOUT,
            f"a firewall drops the connection to {case.seen.url}; the host itself can be reached",
            evidence,
            "firewall-drop",
            case.on_host("ufw status; nft list ruleset; then allow the port for this network only"),
        )
    return Verdict(
        State.TIMEOUT,
        "no answer to the connection: the host is off, or a firewall drops the packets",
        evidence,
        None,
        f"ping -c 3 {shell.word_or(_host(case), 'HOST')}; {case.ours('probe')}",
    )


def _silent(case: HostEvidence) -> Verdict:
    """The port is open before GPUs are searched and HTTP is served after, so silence alone is a start."""
    evidence: tuple[Evidence, ...] = (exchange_evidence(_failed(case)),)
    if case.log.listening and not case.log.starting:
        line = case.log.compute or case.log.listening
        return Verdict(
            State.TIMEOUT,
            "the server hangs: it finished its start, accepts connections and answers nothing",
            (*evidence, Evidence("server log", excerpt(line.line, 200))),
            "server-hung",
            case.restart(),
        )
    if case.log.listening:
        evidence = (*evidence, Evidence("server log", excerpt(case.log.listening.line, 200)))
        return Verdict(
            State.STARTING,
            "the server is starting: it searches for GPUs and answers when that is done",
            evidence,
            "starting-up",
            f"wait up to 2 minutes, do not restart it; {case.ours('probe')}",
        )
    return Verdict(
        State.STARTING,
        "accepts connections, answers nothing yet: it is starting, or it hangs if this lasts over 2 minutes",
        evidence,
        "starting-up",
        f"wait 2 minutes, do not restart it; {case.ours('probe')}",
    )


def _unreachable(case: HostEvidence) -> Verdict:
    failed = _failed(case)
    if failed.errno == 113 and failed.elapsed_ms < AT_ONCE_MS:
        return Verdict(
            State.UNREACHABLE,
            "a firewall rejects the connection (no route to host, answered at once)",
            (exchange_evidence(failed),),
            "firewall-reject",
            case.on_host("firewall-cmd --list-all; nft list ruleset; then allow the port for this network only"),
        )
    return Verdict(
        State.UNREACHABLE,
        "there is no route to the host, or nothing has its address",
        (exchange_evidence(failed),),
        None,
        f"ip route get {_host(case)}; ping -c 3 {_host(case)}",
    )


def _tls(case: HostEvidence) -> Verdict:
    failed, written = _failed(case), _parsed(case)
    certificate = "certificate" in failed.detail.lower()
    if certificate or written is None:
        return Verdict(
            State.TLS,
            "the TLS certificate is not accepted",
            (exchange_evidence(failed),),
            None,
            f"curl -v {shell.word_or(case.seen.url + '/api/version', 'URL')}",
        )
    return Verdict(
        State.TLS,
        "https is spoken to a plain HTTP port; Ollama speaks plain HTTP only",
        (exchange_evidence(failed),),
        "scheme-mismatch",
        f"write the URL as http://{written.netloc}{written.path}",
    )


def _garbage(case: HostEvidence) -> Verdict:
    return Verdict(
        State.NOT_OLLAMA,
        "something answers, but not with HTTP",
        (exchange_evidence(_failed(case)),),
        "wrong-service-on-port",
        case.on_host("ss -ltnp 'sport = :{port}'", port=str(case.settings.ollama_port)),
    )


def _hung_up(case: HostEvidence) -> Verdict:
    by_memory = memory.down_by_memory(case)
    if by_memory:
        return by_memory
    docker = case.settings.ollama_runtime == "docker"
    return Verdict(
        State.HTTP_ERROR,
        "the connection is accepted and then closed without an answer",
        (exchange_evidence(_failed(case)),),
        "container-binds-loopback" if docker and service.binds_loopback(case) else None,
        case.look(),
    )


_BY_ERROR: dict[str, Rule] = {
    "dns": _dns,
    "refused": _refused,
    "timeout": _timeout,
    "unreachable": _unreachable,
    "tls": _tls,
    "protocol": _garbage,
    "reset": _hung_up,
    "closed": _hung_up,
}


def _parsed(case: HostEvidence) -> base_url.BaseUrl | None:
    try:
        return base_url.parse(case.seen.url)
    except ReaperError:
        return None


def _host(case: HostEvidence) -> str:
    written = _parsed(case)
    return written.host if written else case.host
