"""HTTP answers, but not as Ollama does when it is well."""

from __future__ import annotations

from reaper_ops.core import shell
from reaper_ops.core import url as base_url
from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.rules import memory
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict, excerpt, exchange_evidence
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health.probe import error_text
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.inventory import environment
from reaper_ops.errors import ReaperError

RUNNING = "Ollama is running"
PS_SINCE = "0.1.38"
OF_THE_API = ("/v1", "/api")
"""Ends of a base URL to which clients add their own paths."""
PLAIN_TO_TLS = ("HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port")


def odd_answer(case: HostEvidence) -> Verdict | None:
    """The first of version, tags and ps that was answered with something else than a 200."""
    failed = case.seen.failed
    if failed is None or failed.error or failed.status is None or failed.path == "/api/generate":
        return None
    if failed.path == "/api/ps" and failed.status == 404 and _before_ps(case.seen.version):
        return None
    text, status = error_text(failed), failed.status
    hit = signatures.match("api", text)
    if status == 503 or (hit is not None and hit.signature.id == "queue-full"):
        return overloaded(case, failed)
    if status == 403 and not failed.body.strip():
        return _wrong_host(case, failed)
    if any(mark in failed.body for mark in PLAIN_TO_TLS):
        return _needs_https(case, failed)
    if status in {502, 504}:
        return _gateway(case, failed)
    written = _parsed(case.seen.url)
    if 300 <= status < 400 and written and (secure := _secured(written, failed)):
        return _redirected(failed, secure)
    if status == 404 and case.seen.version is None and written and written.path.endswith(OF_THE_API):
        return _below(failed, written)
    if status == 404 or 300 <= status < 400:
        return _elsewhere(case, failed)
    return _http_error(case, failed)


def _before_ps(version: str | None) -> bool:
    return version is not None and environment.version_key(version) < environment.version_key(PS_SINCE)


def overloaded(case: HostEvidence, failed: Exchange) -> Verdict:
    text = error_text(failed)
    if not text and "<" in failed.body[:200]:
        return _gateway(case, failed)
    return Verdict(
        State.OVERLOADED,
        f"the server is up and refuses work: {excerpt(text, 100) or 'HTTP 503'}",
        (exchange_evidence(failed),),
        "queue-full-503",
        f"wait for its queue to drain, or send less; {case.ours('probe')}",
    )


def _wrong_host(case: HostEvidence, failed: Exchange) -> Verdict:
    return Verdict(
        State.HTTP_ERROR,
        "empty 403: a server on loopback refuses the Host header that it was sent",
        (exchange_evidence(failed),),
        "host-header-403",
        "make the proxy send `Host: localhost:11434`, or set `ollama_base_url` to the host's private address",
    )


def _parsed(url: str) -> base_url.BaseUrl | None:
    try:
        return base_url.parse(url)
    except ReaperError:
        return None


def _secured(written: base_url.BaseUrl, failed: Exchange) -> str:
    """The base URL to which plain http is redirected on the same host; empty for a redirect to anything else."""
    target = failed.headers.get("location", "").removesuffix(failed.path)
    there = _parsed(target)
    same = there is not None and there.host.lower() == written.host.lower()
    return target if same and (written.scheme, target[:8]) == ("http", "https://") else ""


def _redirected(failed: Exchange, secure: str) -> Verdict:
    return Verdict(
        State.HTTP_ERROR,
        f"the URL redirects to {excerpt(secure, 100)}",
        (exchange_evidence(failed), Evidence("Location", excerpt(failed.headers["location"], 200))),
        "redirect-to-https",
        f"write the URL as {excerpt(secure, 100)}",
    )


def _below(failed: Exchange, written: base_url.BaseUrl) -> Verdict:
    """Clients of Ollama's API add /api/... themselves, those of the OpenAI API add to /v1."""
    end = next(end for end in OF_THE_API if written.path.endswith(end))
    return Verdict(
        State.HTTP_ERROR,
        f"the URL ends in {end}, and nothing answers below that; Ollama's base URL ends before it",
        (exchange_evidence(failed),),
        "base-url-has-path",
        f"write the URL as {excerpt(str(written).removesuffix(end), 100)}",
    )


def _needs_https(case: HostEvidence, failed: Exchange) -> Verdict:
    parsed = _parsed(case.seen.url)
    written = parsed.netloc if parsed else case.host
    return Verdict(
        State.TLS,
        "http is spoken to a TLS port",
        (exchange_evidence(failed),),
        "scheme-mismatch",
        f"write the URL as https://{written}",
    )


def _gateway(case: HostEvidence, failed: Exchange) -> Verdict:
    late = failed.status == 504
    return Verdict(
        State.HTTP_ERROR,
        "a proxy answers; the Ollama behind it " + ("takes too long" if late else "does not answer"),
        (exchange_evidence(failed),),
        "proxy-504-timeout" if late else "proxy-502",
        case.on_host("curl -s http://127.0.0.1:11434/api/version; then look at the proxy's error log"),
    )


def _elsewhere(case: HostEvidence, failed: Exchange) -> Verdict:
    """404 and redirects: another program, or a proxy that passes only some paths on."""
    if (case.seen.root or "").strip() == RUNNING or case.seen.version is not None:
        return Verdict(
            State.HTTP_ERROR,
            f"Ollama is there, but {failed.path} is not passed on to it (HTTP {failed.status})",
            (exchange_evidence(failed),),
            "proxy-400-404-path",
            f"{_curl(case, failed)}; correct the proxy's path or `ollama_base_url`",
        )
    return stranger(case, failed)


def stranger(case: HostEvidence, failed: Exchange) -> Verdict:
    root = next((e for e in case.seen.exchanges if e.path == "/" and e is not failed), None)
    return Verdict(
        State.NOT_OLLAMA,
        "another program answers on this port",
        (exchange_evidence(failed), *((exchange_evidence(root),) if root else ())),
        "wrong-service-on-port",
        case.on_host("ss -ltnp 'sport = :{port}'", port=str(case.settings.ollama_port)),
    )


def _http_error(case: HostEvidence, failed: Exchange) -> Verdict:
    hit = signatures.match("api", error_text(failed))
    said = excerpt(error_text(failed), 120) or f"HTTP {failed.status}"
    login = failed.status in {401, 403, 407}
    cause = hit.signature.causes[0] if hit and hit.signature.causes else None
    summary = f"a proxy asks for a login (HTTP {failed.status})" if login else f"{failed.path} fails: {said}"
    return Verdict(
        State.HTTP_ERROR,
        summary,
        (exchange_evidence(failed),),
        cause or ("proxy-asks-login" if failed.status in {401, 407} else None),
        _curl(case, failed) if login else case.look(),
    )


def unreadable(case: HostEvidence) -> Verdict | None:
    """A 200 that no Ollama gives: no version, no list of models."""
    seen = case.seen
    readings = {"/api/version": seen.version, "/api/tags": seen.models, "/api/ps": seen.loaded}
    for exchange in seen.exchanges:
        if exchange.status == 200 and not exchange.error and readings.get(exchange.path, "") is None:
            return stranger(case, exchange)
    return None


def silent_step(case: HostEvidence) -> Verdict | None:
    """Version answers; a later step breaks off or stays silent."""
    failed = case.seen.failed
    if failed is None or not failed.error or failed.path in {"/api/version", "/api/generate"}:
        return None
    by_memory = memory.down_by_memory(case) if failed.error == "refused" else None
    return by_memory or Verdict(
        State.DEGRADED,
        f"/api/version answers, {failed.path} does not ({failed.error}): unloading a model, or a stuck runner",
        (exchange_evidence(failed),),
        "server-hung" if failed.error == "timeout" else None,
        f"{case.ours('probe')}; if it stays so, {case.look()}",
    )


def _curl(case: HostEvidence, failed: Exchange) -> str:
    return f"curl -i {shell.word_or(case.seen.url + failed.path, 'URL')}"
