"""Why pulls fail on a host: what the registry answers now, what our own pull was told, what the server logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity
from reaper_ops.core.doctor.rules import pulllog, store
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence, once
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.facts.traces import Resolved
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.values import full_model_name

UNREACHED = frozenset({"timeout", "refused", "unreachable", "reset", "closed"})
BY_STATUS = {
    401: "pull-unauthorized",
    403: "pull-unauthorized",
    404: "pull-manifest-not-found",
    412: "pull-needs-newer-ollama",
    429: "pull-rate-limited",
}
NETWORK = frozenset({"pull-dns", "pull-connect-blocked", "pull-x509-unknown-ca", "pull-x509-time", "pull-tls-garbage"})


@dataclass(frozen=True)
class Reason:
    """now: it was asked just now, or is the last word on a model that is still missing."""

    cause: str
    evidence: Evidence
    model: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    now: bool = False


def why(case: HostEvidence, *causes: str) -> Reason | None:
    """The first reason with one of these causes; what is asked now goes before what was said."""
    return next((reason for reason in every(case) if reason.cause in causes), None)


@once
def every(case: HostEvidence) -> tuple[Reason, ...]:
    """All of them; what is asked now goes first."""
    return (*_asked(case), *_logged(case))


def _logged(case: HostEvidence) -> Iterator[Reason]:
    have, lying = store.there(case), store.own(case)
    for pulled in case.traces.pulls or ():
        wanted = {full_model_name(name) for name in case.expected}
        name = full_model_name(pulled.model)
        hit = signatures.match("pull", pulled.error) if pulled.error else None
        if hit is not None and name in wanted - have:
            yield _reason_of(hit, f"our own pull of {pulled.model}", pulled.model, now=True)
    reached = any(e.status for e in registry(case))
    for failure in case.failed_pulls:
        cause = failure.hit.signature.causes[0]
        over = store.has_layer(lying, failure.layer) if failure.layer else full_model_name(failure.model) in have
        if not over and not (reached and cause in NETWORK):
            yield _reason_of(failure.hit, "server log", failure.model, now=False)


def registry(case: HostEvidence) -> tuple[Exchange, ...]:
    return case.traces.asked.get("registry", ())


def unresolved(case: HostEvidence) -> list[Resolved]:
    """Registries of the missing models, or else Ollama's own, that the host's resolver does not know."""
    hosts = {full_model_name(name).partition("/")[0].partition(":")[0] for name in store.missing(case)}
    wanted = hosts or {"registry.ollama.ai"}
    return [r for r in case.traces.resolved or () if r.name in wanted and not r.addresses]


def finding(case: HostEvidence, reason: Reason, summary: str, *more: Evidence, **values: str) -> Finding:
    """An error where a promised model is missing for it; else a warning."""
    lacking = store.missing(case)
    model = reason.model or (lacking[0] if lacking else "")
    return Finding(
        summary,
        (reason.evidence, *more),
        Confidence.CERTAIN if reason.now or lacking else Confidence.LIKELY,
        {**({"model": model, "registry": registry_of(model)} if model else {}), **values},
        None if lacking else Severity.WARNING,
    )


def registry_of(model: str) -> str:
    """`registry.ollama.ai`, or the first part of the name."""
    return full_model_name(model).partition("/")[0]


def _asked(case: HostEvidence) -> Iterator[Reason]:
    for exchange in registry(case):
        cause, groups = _cause(exchange)
        if cause:
            shown = exchange_evidence(exchange)
            yield Reason(
                cause, Evidence(f"GET {exchange.path}", shown.text), pulllog.model_of(exchange.path), groups, True
            )


def _cause(exchange: Exchange) -> tuple[str, Mapping[str, str]]:
    if exchange.status is not None:
        return BY_STATUS.get(exchange.status, ""), {"code": str(exchange.status)}
    if exchange.error == "dns":
        return "pull-dns", {}
    if exchange.error == "tls":
        hit = signatures.match("pull", exchange.detail)
        return (hit.signature.causes[0], hit.groups) if hit else ("", {})
    return ("pull-connect-blocked" if exchange.error in UNREACHED else ""), {"address": exchange.address}


def _reason_of(hit: Hit, source: str, model: str, *, now: bool) -> Reason:
    return Reason(hit.signature.causes[0], Evidence(source, excerpt(hit.line, 240)), model, hit.groups, now)
