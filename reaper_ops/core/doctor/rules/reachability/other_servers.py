"""Something else answers: another program, another protocol, a proxy on the way."""

from __future__ import annotations

from collections.abc import Mapping

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.inventory.environment import version_key

KNOWN = {
    "open webui": "Open WebUI",
    "nginx": "nginx",
    "apache": "Apache",
    "caddy": "Caddy",
    "llama.cpp": "llama.cpp's own server",
    "llama-server": "llama.cpp's own server",
    "lm studio": "LM Studio",
    "vllm": "vLLM",
    "uvicorn": "a Python server (uvicorn)",
}
CONNECTABLE = (0, 18, 3)


def wrong_service_on_port(case: HostEvidence) -> Finding | None:
    """Another program answers on this port.

    nginx, Open WebUI, llama.cpp, LM Studio or vLLM were taken for Ollama, or stand on its port.

    Signals:
    - 404 pages, HTML, `Unexpected token '<'`

    Not to be confused with:
    - proxy-400-404-path: Ollama is behind it, and some path is not passed on.
    - port-taken: our server wants this very port, and cannot have it.

    Sources:
    - https://github.com/ollama-ui/ollama-ui/issues/38
    - `GET /` of Ollama is the 17 bytes `Ollama is running`
    """
    verdict = case.blamed("wrong-service-on-port")
    if verdict is None:
        return None
    said = " ".join(e.body + " ".join(e.headers.values()) for e in case.seen.exchanges).lower()
    name = next((name for mark, name in KNOWN.items() if mark in said), "")
    holders = port.holders(case)
    owner = next((port.who(h) for h in holders if h.command), "")
    summary = f"{name or owner or 'another program'} answers here, not Ollama"
    return Finding(summary, (*verdict.evidence, *((port.listens(case),) if holders else ())))


def scheme_mismatch(case: HostEvidence) -> Finding | None:
    """The URL says https and the port speaks http, or the other way round.

    Ollama itself speaks plain HTTP only; TLS is always a proxy's.

    Signals:
    - `[SSL: WRONG_VERSION_NUMBER] wrong version number`, newer: `record layer failure`; curl rc 35
    - `400 Client sent an HTTP request to an HTTPS server.`

    Not to be confused with:
    - a certificate that is not accepted: TLS is there, only its name, issuer or date is wrong.

    Sources:
    - https://github.com/ollama/ollama/issues/11295
    """
    verdict = case.blamed("scheme-mismatch")
    written = port.target(case)
    if verdict is None or written is None:
        return None
    other = "http" if written.scheme == "https" else "https"
    return Finding(verdict.summary, verdict.evidence, values={"right": f"{other}://{written.netloc}{written.path}"})


def proxy_env_intercepts_localhost(case: HostEvidence) -> Finding | None:
    """A proxy variable catches what was meant for this host itself.

    HTTP_PROXY without NO_PROXY sends even http://localhost:11434 to the proxy, with curl, Python and many others.
    (Go, and so `ollama` itself, leaves loopback addresses out, but not 0.0.0.0.) Ollama needs HTTPS_PROXY alone.

    Signals:
    - `Error: something went wrong, please see the ollama server logs for details`: no answer of Ollama at all
    - 502, 403 or 407 with the proxy's own page

    Not to be confused with:
    - proxy-502: a reverse proxy in front of Ollama, which the client asks on purpose.
    - HTTPS_PROXY alone: http:// to Ollama does not use it.

    Sources:
    - https://github.com/ollama/ollama/issues/4674
    - https://github.com/BerriAI/litellm/issues/8510
    """
    proxy, caught = _proxy(case.traces.shell_proxies or {}, ("localhost", "127.0.0.1"))
    if caught:
        shown = Evidence("/etc/environment, /etc/profile.d", " ".join(_named(case.traces.shell_proxies or {})))
        summary = f"{proxy} is set for everybody on this host, and NO_PROXY does not leave out {caught}"
        return Finding(summary, (shown,), Confidence.LIKELY)
    environ = case.environ
    old = version_key(case.seen.version or "9999") < CONNECTABLE
    if not old or "0.0.0.0" not in environ.get("OLLAMA_HOST", ""):  # noqa: S104 - compared, not bound
        return None
    proxy, caught = _proxy(environ, ("0.0.0.0",))  # noqa: S104 - compared, not bound
    if not caught:
        return None
    summary = f"{proxy} of the server catches its own client, which dials 0.0.0.0 before version 0.18.3"
    apply = Step("Keep only `ollama_https_proxy` in the inventory.", "{up}", Automate.ASK, "apply")
    return Finding(
        summary, (Evidence("/proc/PID/environ", " ".join(_named(environ))),), Confidence.LIKELY, steps=(apply,)
    )


def _proxy(environ: Mapping[str, str], wanted: tuple[str, ...]) -> tuple[str, str]:
    """The variable that catches plain HTTP, and the first of these hosts that it catches; empty when none."""
    named = {name.lower(): name for name, value in environ.items() if value}
    found = next((named[name] for name in ("http_proxy", "all_proxy") if name in named), "")
    spared = {item.strip().lower() for item in environ.get(named.get("no_proxy", ""), "").split(",")}
    caught = next((host for host in wanted if found and not _spared(host, spared)), "")
    return found, caught


def _spared(host: str, spared: set[str]) -> bool:
    return bool({host, "*"} & spared) or (
        host == "127.0.0.1" and bool({"127.0.0.0/8", "127.0.0.1/8", "127.*"} & spared)
    )


def _named(environ: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(environ.items()) if name.lower().endswith("_proxy")]


RULES = (
    Rule(
        wrong_service_on_port,
        Severity.ERROR,
        steps=(
            Step("See who listens.", "sudo ss -ltnp 'sport = :{port}'"),
            Step("Correct `ollama_base_url` or `ollama_port`. (Open WebUI passes Ollama's API on under /ollama.)"),
        ),
        explains=(str(State.NOT_OLLAMA),),
        needs=("ss.txt",),
    ),
    Rule(
        scheme_mismatch,
        Severity.ERROR,
        steps=(Step("Write the URL as {right} (`ollama_base_url`, and in clients)."),),
        explains=(str(State.TLS),),
    ),
    Rule(
        proxy_env_intercepts_localhost,
        Severity.WARNING,
        steps=(
            Step(
                "Leave this host out, where the proxy is set, and log in again.",
                "echo 'NO_PROXY=localhost,127.0.0.1,::1,0.0.0.0' | sudo tee -a /etc/environment",
            ),
        ),
    ),
)
