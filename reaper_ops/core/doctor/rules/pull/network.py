"""The way to the registry: names, routes, proxies."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import store
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

WITHOUT_WAY = ("pull-dns", "pull-connect-blocked", "pull-max-retries", "pull-stalled")


def pull_dns(case: HostEvidence) -> Finding | None:
    """The host cannot resolve the registry's name.

    The resolver is broken, or a company's DNS resolves no external names, or a provider filters the host of the blobs
    (`*.r2.cloudflarestorage.com`) while the registry itself resolves.

    Signals:
    - `dial tcp: lookup registry.ollama.ai on 127.0.0.53:53: server misbehaving`
    - `pull model manifest: Get "https://…": dial tcp: lookup …: no such host`

    Not to be confused with:
    - pull-connect-blocked: the name resolves, and the connection fails.
    - pull-proxy-not-in-service: the host has a proxy, which would resolve for it; the server does not use it.

    Sources:
    - https://github.com/ollama/ollama/issues/2680
    - https://github.com/ollama/ollama/issues/8065
    - https://github.com/ollama/ollama/issues/9320
    """
    unresolved, reason = reasons.unresolved(case), reasons.why(case, "pull-dns")
    shown = tuple(Evidence("resolver of the host", f"{r.name}: {r.error or 'no address'}") for r in unresolved)
    if reason is not None:
        name = reason.groups.get("name") or (unresolved[0].name if unresolved else "the registry")
        if _resolves(case, name) and not reason.now:
            return None
        where = "in the container" if case.settings.ollama_runtime == "docker" else "on this host"
        found = reasons.finding(case, reason, f"{name} does not resolve {where}, so pulls fail", *shown, name=name)
        return replace(found, steps=_resolver_steps(case))
    lacking = store.missing(case)
    if not lacking or not unresolved or server_proxy(case):
        return None
    summary = f"{unresolved[0].name} does not resolve on this host, so {lacking[0]} cannot be pulled"
    values = {"model": lacking[0], "name": unresolved[0].name}
    return Finding(summary, shown, values=values, steps=_resolver_steps(case))


def _resolver_steps(case: HostEvidence) -> tuple[Step, ...]:
    return (_RESOLVE, _DOCKER_DNS if case.settings.ollama_runtime == "docker" else _HOST_DNS, _PROXY, AGAIN)


def _resolves(case: HostEvidence, name: str) -> bool:
    if case.settings.ollama_runtime == "docker":
        return False
    return any(r.name == name and r.addresses for r in case.traces.resolved or ())


def server_proxy(case: HostEvidence) -> str:
    """The proxy for HTTPS in the server's environment."""
    return case.environ.get("HTTPS_PROXY") or case.environ.get("https_proxy") or ""


def pull_connect_blocked(case: HostEvidence) -> Finding | None:
    """The host cannot connect to the registry.

    A firewall blocks outgoing connections to port 443, or IPv6 is broken and tried first, or the server's proxy does
    not answer.

    Signals:
    - `dial tcp 172.67.182.229:443: i/o timeout`
    - `proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused`

    Not to be confused with:
    - pull-dns: the name does not even resolve.
    - pull-proxy-not-in-service: shells of the host have a proxy, the service has none.

    Sources:
    - https://github.com/ollama/ollama/issues/8533
    - https://github.com/ollama/ollama/issues/3434
    - https://github.com/ollama/ollama/issues/729
    """
    reason = reasons.why(case, "pull-connect-blocked")
    if reason is None:
        return None
    address, proxy = reason.groups.get("address", ""), server_proxy(case)
    if reason.groups.get("proxy") or (proxy and reason.now and reason.evidence.source.startswith("GET ")):
        named = proxy or address
        found = reasons.finding(case, reason, f"the server's proxy does not answer: {named}", proxy=named)
        return replace(found, steps=_PROXY_STEPS)
    over6 = " over IPv6" if address.startswith("[") else ""
    return reasons.finding(case, reason, f"connections to the registry at {address or 'its address'} fail{over6}")


def pull_proxy_not_in_service(case: HostEvidence) -> Finding | None:
    """The host's shells use a proxy, and the server has none.

    The server pulls, not the command line: what a shell or /etc/environment exports does not reach it.

    Signals:
    - `curl` works, `ollama pull` ends with `i/o timeout` or `no such host`

    Not to be confused with:
    - pull-connect-blocked, pull-dns: no proxy is known to the host at all, or the service has it too.

    Sources:
    - docs/faq.mdx of Ollama
    - https://github.com/ollama/ollama/issues/3434
    """
    shell = {name.lower(): value for name, value in (case.traces.shell_proxies or {}).items()}
    name = next((n for n in ("https_proxy", "all_proxy", "http_proxy") if shell.get(n)), "")
    if not name or not case.environ or server_proxy(case):
        return None
    reason = reasons.why(case, *WITHOUT_WAY)
    known = Evidence("/etc/environment, profiles", f"{name}={shell[name]}")
    lacks = Evidence("environment of the server", "HTTPS_PROXY is not set")
    summary = "the host's shells use a proxy, and the server has none"
    if reason is not None:
        found = reasons.finding(case, reason, summary, known, lacks, proxy=shell[name])
        return Finding(found.summary, found.evidence, Confidence.LIKELY, found.values, found.severity)
    unresolved = [r.name for r in reasons.unresolved(case)]
    if not unresolved or not store.missing(case):
        return None
    shown = Evidence("resolver of the host", f"{unresolved[0]} does not resolve")
    return Finding(summary, (known, lacks, shown), Confidence.LIKELY, {"proxy": shell[name]})


_RESOLVE = Step("Ask the resolver that the server uses.", "{inside}getent ahosts {name}")
_HOST_DNS = Step("Correct the host's resolver: /etc/resolv.conf, or systemd-resolved (`resolvectl status`).")
_DOCKER_DNS = Step("Correct the container's resolver: `dns` in /etc/docker/daemon.json.")
_PROXY = Step("Or give the server a proxy, which resolves for it: `ollama_https_proxy` in the inventory.")
AGAIN = Step("Pull what is missing.", "{up}", Automate.ASK, "apply")

_PROXY_STEPS = (
    Step("Ask the proxy from the host.", "curl -sSI --max-time 10 -x {proxy} https://{registry}/v2/"),
    Step("Start the proxy, or correct `ollama_https_proxy` in the inventory."),
    AGAIN,
)

RULES = (
    Rule(
        pull_dns,
        Severity.ERROR,
        steps=(_RESOLVE, _HOST_DNS, _DOCKER_DNS, _PROXY, AGAIN),
        explains=("pull-max-retries", "pull-stalled", "model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
    Rule(
        pull_connect_blocked,
        Severity.ERROR,
        steps=(
            Step("Try to connect from the host.", "curl -sSI --max-time 10 https://{registry}/v2/"),
            Step(
                "Allow outgoing connections to {registry} on port 443 (Ollama's own registry also needs "
                "*.r2.cloudflarestorage.com), or name a proxy in `ollama_https_proxy`."
            ),
            AGAIN,
        ),
        explains=("pull-max-retries", "pull-stalled", "model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
    Rule(
        pull_proxy_not_in_service,
        Severity.ERROR,
        steps=(
            Step("Set the proxy in the inventory: `ollama_https_proxy: {proxy}`."),
            Step("Apply it: the server restarts with the proxy and pulls.", "{up}", Automate.ASK, "apply"),
        ),
        explains=(
            "pull-dns",
            "pull-connect-blocked",
            "pull-max-retries",
            "pull-stalled",
            "model-not-found",
            "model-missing",
        ),
        needs=("journal.log",),
    ),
)
