"""Between client and server: refused hosts and origins, and proxies that fail."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import memory, service
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health.probe import error_text, went_well
from reaper_ops.core.health.report import Evidence

CLOUDFLARES = 524
LATE = frozenset({504, CLOUDFLARES})
MOVED = frozenset({400, 404, 405, 301, 302, 307, 308})
LOOPBACK = ("127.", "localhost", "[::1]", "::1")


def _direct(case: HostEvidence) -> Exchange | None:
    """The answer to /api/version that the server gave on its own host."""
    own = case.facts.exchanges if case.facts else ()
    return next((exchange for exchange in own if exchange.path == "/api/version"), None)


def _proxy_evidence(case: HostEvidence) -> tuple[Evidence, ...]:
    direct = _direct(case)
    return (
        (Evidence("on the host, " + exchange_evidence(direct).source, exchange_evidence(direct).text),)
        if direct
        else ()
    )


def _answers(case: HostEvidence) -> bool:
    direct = _direct(case)
    return direct is not None and went_well(direct)


def host_header_403(case: HostEvidence) -> Finding | None:
    """A server on a loopback address refuses the Host header that a proxy passes on.

    As a protection against DNS rebinding, Ollama then accepts only loopback names, private addresses, its own host name
    and names in `.local`, `.internal` and `.localhost`. A server on another address does not check Host.

    Signals:
    - `403 Forbidden` with an empty body through nginx, ngrok, cloudflared or tailscale serve; direct requests work

    Not to be confused with:
    - cors-origin-403: only requests with an Origin header are refused; here, those without one are, too.
    - a 403 with a page or a text: it is the proxy's own.

    Sources:
    - https://github.com/ollama/ollama/issues/3269
    - server/routes.go of Ollama, allowedHostsMiddleware
    - docs/faq.mdx of Ollama
    """
    verdict = case.verdict_of("host-header-403")
    bound = case.environ.get("OLLAMA_HOST", "")
    if verdict is None or (bound and not bound.removeprefix("http://").startswith(LOOPBACK)):
        return None
    foreign = case.traces.asked.get("host", ())
    proof = tuple(
        Evidence("on the host, with a foreign Host", exchange_evidence(e).text) for e in foreign if e.status == 403
    )
    sure = _answers(case) and bool(proof)
    summary = "the server listens on loopback, so it refuses the Host header that the proxy passes on"
    evidence = (*verdict.evidence, *_proxy_evidence(case), *proof)
    return Finding(summary, evidence, Confidence.CERTAIN if sure else Confidence.LIKELY)


def cors_origin_403(case: HostEvidence) -> Finding | None:
    """The server refuses a web page, because its origin is not on the server's list.

    The list has localhost, 127.0.0.1 and 0.0.0.0 with any port, and app, file, tauri and vscode pages; `OLLAMA_ORIGINS`
    adds more. Only `*` allows `Origin: null`.

    Signals:
    - `blocked by CORS policy` in the browser; 403 with an empty body for extensions and web views
    - `[GIN] ... | 403 | ... | OPTIONS "/api/chat"` in the log

    Not to be confused with:
    - host-header-403: requests without an Origin are refused, too.
    - a page that nobody knows: then the refusal is the protection at work.

    Sources:
    - https://github.com/ollama/ollama/issues/6021
    - https://github.com/janhq/jan/issues/8131
    - https://github.com/ollama/ollama/issues/1391
    """
    refused = _preflights(case)
    origins = case.environ.get("OLLAMA_ORIGINS", "")
    if not refused or "*" in origins.split(","):
        return None
    times = f"{len(refused)} times" if len(refused) > 1 else "once"
    clients = ", ".join(sorted({hit.groups["client"] for hit in refused})[:3])
    allowed = Evidence("environment", f"OLLAMA_ORIGINS={origins}" if origins else "OLLAMA_ORIGINS is not set")
    summary = (
        f"the server refused a web page {times}, in a browser on {clients}: its origin is not on the server's list"
    )
    return Finding(summary, (Evidence("server log", excerpt(refused[-1].line)), allowed), Confidence.POSSIBLE)


def _preflights(case: HostEvidence) -> list[Hit]:
    """Browsers send OPTIONS first; those that the present run refused."""
    log = signatures.last_run(case.facts.journal if case.facts else None)
    asked = (signatures.only("request-served", line) for line in log.splitlines() if "| OPTIONS " in line)
    return [hit for hit in asked if hit is not None and hit.groups["status"] == "403"]


def proxy_502(case: HostEvidence) -> Finding | None:
    """A proxy reports that it cannot reach the Ollama behind it.

    The server is down, or the proxy has the wrong upstream address: `localhost` that means IPv6 first, the name of a
    container in another network, an old port. On RHEL and its relatives, SELinux may forbid the connection.

    Signals:
    - `502 Bad Gateway`, with the proxy's own page and Server header

    Not to be confused with:
    - cloud-model-error: Ollama itself answers 502 about its cloud, as JSON with `error`.
    - proxy-504-timeout: the proxy reached Ollama, which took too long.

    Sources:
    - https://github.com/BerriAI/litellm/issues/8510
    - docs/api/errors.mdx of Ollama
    """
    verdict = case.verdict_of("proxy-502")
    if verdict is None or any(error_text(e) for e in case.seen.exchanges if e.status == 502):
        return None
    shown = (*verdict.evidence, *_proxy_evidence(case))
    if _answers(case):
        summary = "the proxy cannot reach Ollama, although Ollama answers on its host"
        return Finding(summary, shown, steps=_UPSTREAM)
    direct = _direct(case)
    below = (memory.down_by_memory(case) or service.down(case)) if direct and direct.error == "refused" else None
    if below is not None:
        more = tuple(line for line in below.evidence if line not in verdict.evidence)
        steps = (_START,) if below.cause == "service-not-running" else None
        return Finding(f"the proxy cannot reach Ollama: {below.summary}", (*shown, *more), steps=steps)
    also = ", which does not answer on its host either" if direct and not direct.status else ""
    return Finding(f"the proxy cannot reach Ollama{also}", shown)


def proxy_504_timeout(case: HostEvidence) -> Finding | None:
    """A proxy gives up before Ollama sends its first byte.

    Ollama sends nothing while it loads a model or reads a long prompt. nginx waits 60 seconds for the first byte,
    Cloudflare 100 (and then answers 524).

    Signals:
    - `504 Gateway Time-out`, always after the same time; streams that arrive all at once

    Not to be confused with:
    - proxy-502: the proxy could not connect at all.
    - load-timeout: Ollama itself gave up, with 500 and a text.

    Sources:
    - docs/faq.mdx of Ollama, preloading
    - https://github.com/ollama/ollama/issues/7408
    """
    verdict = case.verdict_of("proxy-504-timeout")
    late = [e for e in case.seen.exchanges if e.status in LATE and not error_text(e)]
    if verdict is None and not late:
        return None
    shown = verdict.evidence if verdict else (exchange_evidence(late[0]),)
    waited = next((e.elapsed_ms for e in late if e.elapsed_ms >= 1000), 0.0)
    after = f" after {waited / 1000:.0f} s" if waited else ""
    also = ", although Ollama answers on its host" if _answers(case) else ""
    steps = _CLOUDFLARE if any(e.status == CLOUDFLARES for e in late) else None
    return Finding(f"a proxy gave up waiting for Ollama{after}{also}", (*shown, *_proxy_evidence(case)), steps=steps)


def proxy_400_404_path(case: HostEvidence) -> Finding | None:
    """A proxy changes paths or redirects, so requests do not arrive as clients send them.

    Examples are a rewritten prefix, a base URL that repeats `/api` or `/v1`, and a redirect to https that turns POST
    into GET.

    Signals:
    - 400, 404 or 405 through the proxy, although `/api/version` works directly
    - no `[GIN]` line for the request in Ollama's log

    Not to be confused with:
    - model-not-found: 404 as JSON, which names the model.
    - wrong-service-on-port: another program answers, with no Ollama behind it.

    Sources:
    - https://github.com/ollama/ollama/issues/6712
    - https://github.com/ollama/ollama/issues/5811
    """
    verdict = case.verdict_of("proxy-400-404-path")
    if verdict is not None:
        return Finding(verdict.summary, (*verdict.evidence, *_proxy_evidence(case)))
    failed = case.seen.failed
    if failed is None or failed.status not in MOVED or error_text(failed) or not _answers(case):
        return None
    if case.settings.ollama_base_url is None:
        return None
    summary = f"Ollama answers on its host, but {case.seen.url} answers {failed.path} with HTTP {failed.status}"
    return Finding(summary, (exchange_evidence(failed), *_proxy_evidence(case)), Confidence.LIKELY)


_START = Step("Start the server behind the proxy.", "{start}", Automate.SAFE, "start")
_UPSTREAM = (
    Step(
        "Read why the proxy cannot connect, in its error log (here: nginx).", "sudo tail -n 50 /var/log/nginx/error.log"
    ),
    Step("Correct the upstream address: in nginx `proxy_pass http://127.0.0.1:{port};`, not `localhost`."),
    Step(
        "If the log has `Permission denied`, SELinux forbids it: allow nginx to connect.",
        "sudo setsebool -P httpd_can_network_connect 1",
    ),
)
_KEEP_LOADED = Step("Keep models loaded: set a longer `ollama_keep_alive` in the inventory, then apply.", "{up}")
_CLOUDFLARE = (
    Step("Cloudflare waits 100 seconds for the first byte: have clients stream, and send shorter prompts."),
    _KEEP_LOADED,
)

RULES = (
    Rule(
        host_header_403,
        Severity.ERROR,
        steps=(
            Step(
                "In nginx, send a Host header that Ollama accepts: `proxy_set_header Host localhost:{port};` in the "
                "location. Then reload it.",
                "sudo nginx -t && sudo nginx -s reload",
            ),
            Step(
                "For other proxies: ngrok `--host-header=localhost:{port}`, cloudflared "
                "`--http-host-header=localhost:{port}`, Caddy `header_up Host localhost:{port}`."
            ),
        ),
        explains=("http-error",),
    ),
    Rule(
        cors_origin_403,
        Severity.WARNING,
        steps=(
            Step("If the page is yours, add its origin to `ollama_origins` in the inventory, then apply.", "{up}"),
            Step("Do not allow `*` where others can reach the server: any web page could then use it."),
        ),
        needs=("journal.log",),
        question="Does a browser report `blocked by CORS policy` for {host}, and for which origin?",
    ),
    Rule(
        proxy_502,
        Severity.ERROR,
        steps=(
            Step("Check whether Ollama answers on its host.", "curl -s http://127.0.0.1:{port}/api/version"),
            *_UPSTREAM,
        ),
        explains=("http-error",),
    ),
    Rule(
        proxy_504_timeout,
        Severity.ERROR,
        steps=(
            Step(
                "In nginx, wait longer and do not buffer: `proxy_read_timeout 600s; proxy_buffering off;`. Then reload "
                "it.",
                "sudo nginx -t && sudo nginx -s reload",
            ),
            _KEEP_LOADED,
        ),
        explains=("http-error", "degraded", "client-timeout-too-short"),
    ),
    Rule(
        proxy_400_404_path,
        Severity.ERROR,
        steps=(
            Step("Have the proxy keep paths: in nginx `proxy_pass http://127.0.0.1:{port};`, with nothing after it."),
            Step(
                "Or correct `ollama_base_url`: without `/api` or `/v1` at its end, and `https` if the proxy redirects."
            ),
        ),
        explains=("http-error",),
    ),
)
