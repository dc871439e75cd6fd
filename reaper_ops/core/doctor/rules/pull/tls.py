"""TLS between the host and the registry."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import store
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.pull.network import AGAIN, server_proxy
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

TOLERATED = 300.0


def pull_x509_unknown_ca(case: HostEvidence) -> Finding | None:
    """The host does not trust the registry's certificate.

    A company's proxy inspects TLS and signs with its own authority, or the image has no authorities at all.

    Signals:
    - `tls: failed to verify certificate: x509: certificate signed by unknown authority`

    Not to be confused with:
    - pull-x509-time: the authority is trusted; the error names a time.

    Sources:
    - https://github.com/ollama/ollama/issues/1798
    - https://github.com/ollama/ollama/issues/823
    - docs/faq.mdx of Ollama
    """
    reason = reasons.why(case, "pull-x509-unknown-ca")
    if reason is None:
        return None
    return reasons.finding(
        case, reason, "the registry's certificate comes from an authority that this host does not trust"
    )


def pull_x509_time(case: HostEvidence) -> Finding | None:
    """The host's clock is wrong, or the registry's certificate has expired.

    Certificates are valid for a time, and the registry's sign-in carries a time stamp: a wrong clock breaks both.
    In March 2024 Ollama's own certificate had expired. Never set the clock back to satisfy a certificate.

    Signals:
    - `x509: certificate has expired or is not yet valid: current time A is after B`
    - `pull model manifest: 401`, from a signed time stamp

    Not to be confused with:
    - pull-x509-unknown-ca: the error names no time.

    Sources:
    - https://github.com/ollama/ollama/issues/3336
    - https://github.com/ollama/ollama/issues/3334
    - https://github.com/ollama/ollama/issues/10625
    """
    reason, skew = reasons.why(case, "pull-x509-time"), case.traces.clock_skew
    off = skew is not None and abs(skew) >= TOLERATED
    shown: tuple[Evidence, ...] = ()
    if skew is not None and off:
        shown = (Evidence("clock against the controller's", f"{skew:+.0f} s"),)
    synchronized = case.traces.clock_synchronized
    if shown and synchronized is not None:
        shown = (*shown, Evidence("timedatectl", f"NTPSynchronized={'yes' if synchronized else 'no'}"))
    clock = f"the host's clock is {_spoken(skew or 0)}"
    if reason is not None and off:
        found = reasons.finding(case, reason, f"{clock}, so the registry's certificate is not valid for it", *shown)
        return replace(found, steps=_CLOCK)
    if reason is not None:
        return _expired(case, reason, skew)
    if not off:
        return None
    refused = reasons.why(case, "pull-unauthorized")
    if refused is not None and store.missing(case):
        found = reasons.finding(case, refused, f"{clock}, so the registry refuses the signature of its sign-in", *shown)
        return replace(found, confidence=Confidence.LIKELY, steps=_CLOCK)
    summary = f"{clock}: certificates and the registry's sign-in will fail"
    return Finding(summary, shown, Confidence.CERTAIN, severity=Severity.WARNING, steps=_CLOCK[:2])


def _expired(case: HostEvidence, reason: reasons.Reason, skew: float | None) -> Finding:
    """By a clock that agrees with the controller's; one that was not compared proves nothing."""
    if skew is None:
        summary = "the registry's certificate is not valid now, or the host's clock is wrong"
        return replace(reasons.finding(case, reason, summary), confidence=Confidence.LIKELY)
    summary = "the registry's certificate is not valid now, and the host's clock is right"
    shown = Evidence("clock against the controller's", f"{skew:+.0f} s")
    return replace(reasons.finding(case, reason, summary, shown), steps=_WAIT)


def _spoken(skew: float) -> str:
    size = abs(skew)
    text = (
        f"{size / 86400:.1f} days"
        if size >= 86400
        else f"{size / 3600:.1f} h"
        if size >= 3600
        else f"{size / 60:.0f} min"
    )
    return f"{text} {'ahead' if skew > 0 else 'behind'}"


def pull_tls_garbage(case: HostEvidence) -> Finding | None:
    """What answers at the registry's address does not speak TLS, or is not a registry.

    The proxy's URL begins with https:// and the proxy speaks plain HTTP; or a captive portal answers; or a registry
    without TLS is asked over HTTPS.

    Signals:
    - `tls: first record does not look like a TLS handshake`
    - `http: server gave HTTP response to HTTPS client`, `Get "https://…": EOF`
    - `pull model manifest: invalid character '<' looking for beginning of value` (a web page instead of a manifest)

    Not to be confused with:
    - pull-x509-unknown-ca: TLS works, and the certificate is not trusted.

    Sources:
    - https://github.com/ollama/ollama/issues/729
    - recorded: pull-insecure-missing, pull-registry-html
    """
    reason = reasons.why(case, "pull-tls-garbage")
    if reason is None:
        return None
    proxy = server_proxy(case)
    if proxy.startswith("https://"):
        given = Evidence("environment of the server", f"HTTPS_PROXY={proxy}")
        found = reasons.finding(case, reason, "the proxy's URL says https://, and the proxy speaks plain HTTP", given)
        return replace(found, steps=(_SCHEME, AGAIN))
    if "invalid character '<'" in reason.evidence.text:
        return replace(reasons.finding(case, reason, "a web page answers instead of the registry"), steps=_PORTAL)
    return reasons.finding(case, reason, "what answers at the registry's address does not speak TLS")


_CLOCK = (
    Step("Compare the clock with the time.", "timedatectl; date -u"),
    Step(
        "Synchronize the clock with the network. In WSL, run `sudo hwclock -s` instead.",
        "sudo timedatectl set-ntp true",
    ),
    AGAIN,
)
_WAIT = (Step("Wait until the registry has a valid certificate, then pull what is missing.", "{up}"),)
_SCHEME = Step("Write the proxy's URL with http:// in `ollama_https_proxy`; it carries HTTPS all the same.")
_PORTAL = (
    Step("Look at the page.", "curl -sSL --max-time 10 https://{registry}/v2/"),
    Step("Sign in to the captive portal, or let the host go around it."),
    AGAIN,
)

RULES = (
    Rule(
        pull_x509_unknown_ca,
        Severity.ERROR,
        steps=(
            Step(
                "See who signs.",
                "curl -skvo /dev/null --max-time 10 https://{registry}/v2/ 2>&1 | grep -i -e issuer -e verif",
            ),
            Step(
                "Ask your administrator for that authority's certificate, and add it as a .crt file to "
                "/usr/local/share/ca-certificates (Debian, Ubuntu).",
                "sudo update-ca-certificates",
            ),
            Step("Restart the server, which reads the authorities at its start.", "{restart}"),
            AGAIN,
        ),
        explains=("pull-max-retries", "model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
    Rule(
        pull_x509_time,
        Severity.ERROR,
        steps=(*_CLOCK[:2], Step("If the clock is right, the registry's certificate has expired: wait."), AGAIN),
        explains=("pull-unauthorized", "pull-max-retries", "model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
    Rule(
        pull_tls_garbage,
        Severity.ERROR,
        steps=(
            Step("If the registry has no TLS, name it in `ollama_insecure_registries`."),
            Step("If the server has a proxy, write its URL with http:// in `ollama_https_proxy`."),
            AGAIN,
        ),
        explains=("pull-max-retries", "model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
)
