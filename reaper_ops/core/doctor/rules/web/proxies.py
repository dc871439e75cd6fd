"""Between client and server: refused hosts and origins, and what a proxy makes of an answer."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import memory, service
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, heard
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health.probe import error_text, went_well
from reaper_ops.core.health.report import Evidence

LATE = frozenset({504, 524})
MOVED = frozenset({400, 404, 405, 301, 302, 307, 308})
LOOPBACK = ("127.", "localhost", "[::1]", "::1")


def _direct(case: HostEvidence) -> Exchange | None:
    """The answer to /api/version that the server gave on its own host."""
    own = case.facts.exchanges if case.facts else ()
    return next((exchange for exchange in own if exchange.path == "/api/version"), None)


def _shown(case: HostEvidence) -> tuple[Evidence, ...]:
    direct = _direct(case)
    return (Evidence("on the host, " + heard(direct).source, heard(direct).text),) if direct else ()


def _answers(case: HostEvidence) -> bool:
    direct = _direct(case)
    return direct is not None and went_well(direct)


def host_header_403(case: HostEvidence) -> Finding | None:
    """A server on a loopback address refuses the Host header that a proxy passed on.

    Ollama accepts there only loopback names, private addresses, its own host name and `.local`, `.internal`,
    `.localhost`, as a guard against DNS rebinding. A server on another address does not look at Host.

    Signals:
    - `403 Forbidden` with an empty body through nginx, ngrok, cloudflared or tailscale serve; the direct way works

    Not to be confused with:
    - cors-origin-403: only with an Origin header; here a plain request without one is refused.
    - a 403 with a page or a text: the proxy's own.

    Sources:
    - https://github.com/ollama/ollama/issues/3269
    - server/routes.go of Ollama, allowedHostsMiddleware
    - docs/faq.mdx of Ollama
    """
    verdict = case.blamed("host-header-403")
    bound = case.environ.get("OLLAMA_HOST", "")
    if verdict is None or (bound and not bound.removeprefix("http://").startswith(LOOPBACK)):
        return None
    foreign = case.traces.asked.get("host", ())
    proof = tuple(Evidence("on the host, with a foreign Host", heard(e).text) for e in foreign if e.status == 403)
    sure = _answers(case) and bool(proof)
    summary = "the server refuses the Host header that it is sent, because it listens on loopback"
    return Finding(
        summary, (*verdict.evidence, *_shown(case), *proof), Confidence.CERTAIN if sure else Confidence.LIKELY
    )


def cors_origin_403(case: HostEvidence) -> Finding | None:
    """A page in a browser is refused, because its origin is not on the server's list.

    The list holds localhost, 127.0.0.1, 0.0.0.0 with any port, and app, file, tauri and vscode pages; more through
    `OLLAMA_ORIGINS`. `Origin: null` is only allowed by `*`.

    Signals:
    - `blocked by CORS policy` in the browser; 403 with an empty body for extensions and web views
    - `[GIN] ... | 403 | ... | OPTIONS "/api/chat"` in the log

    Not to be confused with:
    - host-header-403: refused without any Origin too.
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
    summary = f"a page in a browser was refused {times}, from {clients}; its origin is not on the server's list"
    return Finding(summary, (Evidence("server log", excerpt(refused[-1].line)), allowed), Confidence.POSSIBLE)


def _preflights(case: HostEvidence) -> list[Hit]:
    """Browsers ask with OPTIONS first; those that the present run refused."""
    log = signatures.last_run(case.facts.journal if case.facts else None)
    asked = (signatures.only("request-served", line) for line in log.splitlines() if "| OPTIONS " in line)
    return [hit for hit in asked if hit is not None and hit.groups["status"] == "403"]


def proxy_502(case: HostEvidence) -> Finding | None:
    """A proxy answers that it cannot reach the Ollama behind it.

    The server is down, or the proxy asks at a wrong place: `localhost` that is IPv6 first, a container's name of
    another network, an old port.

    Signals:
    - `502 Bad Gateway`, with the proxy's own page and Server header

    Not to be confused with:
    - cloud-model-error: Ollama itself says 502 about its cloud, as JSON with `error`.
    - proxy-504-timeout: it was reached, and took too long.

    Sources:
    - https://github.com/BerriAI/litellm/issues/8510
    - docs/api/errors.mdx of Ollama
    """
    verdict = case.blamed("proxy-502")
    if verdict is None or any(error_text(e) for e in case.seen.exchanges if e.status == 502):
        return None
    shown = (*verdict.evidence, *_shown(case))
    if _answers(case):
        summary = "the proxy does not reach Ollama, which answers on its host: the proxy asks at a wrong place"
        return Finding(summary, shown)
    direct = _direct(case)
    below = (memory.down_by_memory(case) or service.down(case)) if direct and direct.error == "refused" else None
    if below is not None:
        told = tuple(line for line in below.evidence if line not in verdict.evidence)
        steps = (_START,) if below.cause == "service-not-running" else None
        return Finding(f"the proxy does not reach Ollama: {below.summary}", (*shown, *told), steps=steps)
    also = ", which does not answer on its host either" if direct else ""
    return Finding(f"the proxy does not reach Ollama{also}", shown)


def proxy_504_timeout(case: HostEvidence) -> Finding | None:
    """A proxy gives up before Ollama's first byte.

    While a model is loaded, or a long prompt read, no byte comes. nginx waits 60 seconds for one, Cloudflare 100
    (and then says 524).

    Signals:
    - `504 Gateway Time-out` after the same time each time; streams that arrive in one lump

    Not to be confused with:
    - proxy-502: the proxy was not let in at all.
    - load-timeout: Ollama itself gave up, with 500 and a text.

    Sources:
    - docs/faq.mdx of Ollama, preloading
    - https://github.com/ollama/ollama/issues/7408
    """
    verdict = case.blamed("proxy-504-timeout")
    late = [e for e in case.seen.exchanges if e.status in LATE and not error_text(e)]
    if verdict is None and not late:
        return None
    shown = verdict.evidence if verdict else (heard(late[0]),)
    waited = next((e.elapsed_ms for e in late if e.elapsed_ms >= 1000), 0.0)
    after = f" after {waited / 1000:.0f} s" if waited else ""
    also = ", while Ollama answers on its host" if _answers(case) else ""
    return Finding(f"a proxy gave up waiting for Ollama{after}{also}", (*shown, *_shown(case)))


def proxy_400_404_path(case: HostEvidence) -> Finding | None:
    """A proxy changes the path, or sends to another place, so requests do not arrive as they were sent.

    A rewritten prefix, a base URL with `/api` or `/v1` twice, a redirect to https that makes a GET of a POST.

    Signals:
    - 400, 404 or 405 through the proxy, while `/api/version` works directly
    - no `[GIN]` line for the request in Ollama's log

    Not to be confused with:
    - model-not-found: 404 as JSON, which names the model.
    - wrong-service-on-port: another program, and no Ollama behind it.

    Sources:
    - https://github.com/ollama/ollama/issues/6712
    - https://github.com/ollama/ollama/issues/5811
    """
    verdict = case.blamed("proxy-400-404-path")
    if verdict is not None:
        return Finding(verdict.summary, (*verdict.evidence, *_shown(case)))
    failed = case.seen.failed
    if failed is None or failed.status not in MOVED or error_text(failed) or not _answers(case):
        return None
    if case.settings.ollama_base_url is None:
        return None
    summary = f"Ollama answers on its host; at {case.seen.url} {failed.path} is answered with HTTP {failed.status}"
    return Finding(summary, (heard(failed), *_shown(case)), Confidence.LIKELY)


_START = Step("Start the server behind the proxy, now and at boot.", "{start}", Automate.SAFE, "start")

RULES = (
    Rule(
        host_header_403,
        Severity.ERROR,
        steps=(
            Step(
                "nginx: send a Host that it accepts, `proxy_set_header Host localhost:{port};` in the location; then",
                "sudo nginx -t && sudo nginx -s reload",
            ),
            Step("ngrok: `--host-header=localhost:{port}`; cloudflared: `--http-host-header=localhost:{port}`."),
        ),
        explains=("http-error",),
    ),
    Rule(
        cors_origin_403,
        Severity.WARNING,
        steps=(
            Step("If the page is yours, name its origin under `ollama_origins` in the inventory; then", "{up}"),
            Step("Leave `*` alone where others can reach the server: any page could then use it."),
        ),
        needs=("journal.log",),
        question="Does a browser say `blocked by CORS policy`, and which origin does it name, for {host}?",
    ),
    Rule(
        proxy_502,
        Severity.ERROR,
        steps=(
            Step("See whether Ollama answers on its host.", "curl -s http://127.0.0.1:{port}/api/version"),
            Step("If so, let the proxy ask there: nginx `proxy_pass http://127.0.0.1:{port};`, not `localhost`."),
            Step("Read the proxy's error log.", "sudo tail -n 50 /var/log/nginx/error.log"),
        ),
        explains=("http-error",),
    ),
    Rule(
        proxy_504_timeout,
        Severity.ERROR,
        steps=(
            Step(
                "nginx: wait longer, and pass bytes on at once: `proxy_read_timeout 600s; proxy_buffering off;`; then",
                "sudo nginx -t && sudo nginx -s reload",
            ),
            Step("Keep models loaded: a longer `ollama_keep_alive` in the inventory; then", "{up}"),
        ),
        explains=("http-error", "degraded", "client-timeout-too-short"),
    ),
    Rule(
        proxy_400_404_path,
        Severity.ERROR,
        steps=(
            Step("Pass paths on unchanged: nginx `proxy_pass http://127.0.0.1:{port};`, without a path behind it."),
            Step("Or correct `ollama_base_url`: no `/api` and no `/v1` at its end, `https` where the proxy redirects."),
        ),
        explains=("http-error",),
    ),
)
