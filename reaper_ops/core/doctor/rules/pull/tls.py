"""TLS between the host and the registry."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.pull.network import AGAIN, server_proxy
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

TOLERATED = 300.0


def pull_x509_unknown_ca(case: HostEvidence) -> Finding | None:
    """The host does not trust the certificate that the registry shows.

    A proxy of the company opens TLS and signs with its own authority, or the image has no authorities at all.

    Signals:
    - `tls: failed to verify certificate: x509: certificate signed by unknown authority`

    Not to be confused with:
    - pull-x509-time: the authority is known, the time is not right.

    Sources:
    - https://github.com/ollama/ollama/issues/1798
    - https://github.com/ollama/ollama/issues/823
    - docs/faq.mdx of Ollama
    """
    reason = reasons.why(case, "pull-x509-unknown-ca")
    if reason is None:
        return None
    return reasons.finding(
        case, reason, "the registry shows a certificate of an authority that this host does not trust"
    )


def pull_x509_time(case: HostEvidence) -> Finding | None:
    """The clock of the host is wrong, or the registry's certificate is out of date.

    Certificates hold for a time, and the registry's sign-in carries a time stamp: a clock that is off breaks both.
    Once, in March 2024, Ollama's own certificate had run out. Never set the clock back to please a certificate.

    Signals:
    - `x509: certificate has expired or is not yet valid: current time A is after B`
    - `pull model manifest: 401`, from a signed time stamp

    Not to be confused with:
    - pull-x509-unknown-ca: no time is named.

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
        return reasons.finding(case, reason, f"{clock}, so it takes the registry's certificate for invalid", *shown)
    if reason is not None:
        return reasons.finding(
            case, reason, "the registry's certificate is not valid at this time; the clock is not off"
        )
    if not off:
        return None
    summary = f"{clock}: certificates and the registry's sign-in will fail"
    return Finding(summary, shown, Confidence.CERTAIN, severity=Severity.WARNING)


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
    """What answers in the registry's place does not speak TLS, or is not a registry.

    The URL of the proxy begins with https:// and the proxy speaks plain HTTP; or a captive portal answers; or a
    registry without TLS is asked as if it had it.

    Signals:
    - `tls: first record does not look like a TLS handshake`
    - `http: server gave HTTP response to HTTPS client`, `Get "https://…": EOF`
    - `pull model manifest: invalid character '<' looking for beginning of value` (a web page instead of a manifest)

    Not to be confused with:
    - pull-x509-unknown-ca: TLS is spoken, its certificate is not trusted.

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
        return reasons.finding(case, reason, "the proxy's URL says https://, and the proxy speaks plain HTTP", given)
    return reasons.finding(case, reason, "what answers in the registry's place speaks no TLS, or is no registry")


RULES = (
    Rule(
        pull_x509_unknown_ca,
        Severity.ERROR,
        steps=(
            Step(
                "See who signs.",
                "openssl s_client -connect registry.ollama.ai:443 -servername registry.ollama.ai "
                "</dev/null | openssl x509 -noout -issuer",
            ),
            Step(
                "Let your administrator add that authority to the host.",
                "sudo cp ca.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates",
            ),
            Step("Restart the server, which reads authorities once.", "{restart}"),
        ),
        explains=("pull-max-retries", "model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
    Rule(
        pull_x509_time,
        Severity.ERROR,
        steps=(
            Step("Compare the clock.", "timedatectl; date -u"),
            Step(
                "Where it is off, let it be set from the network; in WSL: sudo hwclock -s.",
                "sudo timedatectl set-ntp true",
            ),
            Step("Where it is right, the registry's certificate is at fault: wait, and pull again."),
        ),
        explains=("pull-unauthorized", "pull-max-retries", "model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
    Rule(
        pull_tls_garbage,
        Severity.ERROR,
        steps=(
            Step(
                "Write the proxy as http://… in `ollama_https_proxy`; name a registry without TLS in "
                "`ollama_insecure_registries`; sign in to a captive portal."
            ),
            AGAIN,
        ),
        explains=("pull-max-retries", "model-not-found", "model-missing"),
        needs=("journal.log",),
    ),
)
