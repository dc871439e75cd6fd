"""Something else answers: another program, another protocol, or a proxy on the way."""

from __future__ import annotations

from collections.abc import Mapping

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.reachability import port
from reaper_ops.core.doctor.rules.reported.texts import lines
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
    "ssh-2.0": "an SSH server",
    "lm studio": "LM Studio",
    "vllm": "vLLM",
    "uvicorn": "a Python server (uvicorn)",
}
CONNECTABLE = (0, 18, 3)


def wrong_service_on_port(case: HostEvidence) -> Finding | None:
    """Another program answers on this port.

    nginx, Open WebUI, llama.cpp, LM Studio or vLLM has the port, or the URL leads to it by mistake.

    Signals:
    - 404 pages, HTML, `Unexpected token '<'`

    Not to be confused with:
    - proxy-400-404-path: Ollama is behind it, and some paths do not reach it.
    - port-taken: Ollama wants this same port, and cannot have it.

    Sources:
    - https://github.com/ollama-ui/ollama-ui/issues/38
    - `GET /` of Ollama is the 17 bytes `Ollama is running`
    """
    verdict = case.verdict_of("wrong-service-on-port")
    if verdict is None:
        return None
    text = " ".join(f"{e.body} {e.detail} {' '.join(e.headers.values())}" for e in case.seen.exchanges).lower()
    name = next((name for mark, name in KNOWN.items() if mark in text), "")
    written = port.target(case)
    asked = written.port if written else case.settings.ollama_port
    holders = port.holders(case) if asked == case.settings.ollama_port else ()
    owner = next((port.who(h) for h in holders if h.command), "")
    summary = f"{name or owner or 'another program'} answers on port {asked}, not Ollama"
    steps = (_LISTENS, _CORRECT, *((_WEBUI,) if name == "Open WebUI" else ()))
    evidence = (*verdict.evidence, *((port.listens(case),) if holders else ()))
    return Finding(summary, evidence, values={"port": str(asked)}, steps=steps)


def scheme_mismatch(case: HostEvidence) -> Finding | None:
    """The URL says https and the port speaks http, or the other way around.

    Ollama itself speaks plain HTTP only; TLS always comes from a proxy.

    Signals:
    - `[SSL: WRONG_VERSION_NUMBER] wrong version number`, newer: `record layer failure`; curl rc 35
    - `400 Client sent an HTTP request to an HTTPS server.`

    Not to be confused with:
    - a certificate that is not accepted: the port speaks TLS, and only the name, issuer or date is wrong.

    Sources:
    - https://github.com/ollama/ollama/issues/11295
    """
    verdict = case.verdict_of("scheme-mismatch")
    written = port.target(case)
    if verdict is None or written is None:
        return None
    other = "http" if written.scheme == "https" else "https"
    plain = "; Ollama itself speaks plain HTTP only" if other == "http" else ""
    summary = f"the URL says {written.scheme}, but port {written.port} speaks {other}{plain}"
    return Finding(summary, verdict.evidence, values={"right": f"{other}://{written.netloc}{written.path}"})


def proxy_env_intercepts_localhost(case: HostEvidence) -> Finding | None:
    """A proxy variable sends requests for this host itself to the proxy.

    With HTTP_PROXY and without NO_PROXY, curl, Python and many other clients send even http://localhost:11434 to the
    proxy. (Go, and so `ollama` itself, excepts loopback addresses, but not 0.0.0.0.) Ollama needs HTTPS_PROXY only.

    Signals:
    - `Error: something went wrong, please see the ollama server logs for details`, and nothing in those logs
    - 502, 403 or 407 with the proxy's own page

    Not to be confused with:
    - proxy-502: a reverse proxy in front of Ollama, which the client uses on purpose.
    - HTTPS_PROXY alone: requests to http:// do not use it.

    Sources:
    - https://github.com/ollama/ollama/issues/4674
    - https://github.com/BerriAI/litellm/issues/8510
    """
    proxy, caught = _proxy(case.traces.shell_proxies or {}, ("localhost", "127.0.0.1"))
    if caught:
        shown = Evidence("/etc/environment, /etc/profile.d", " ".join(_named(case.traces.shell_proxies or {})))
        missing = f"NO_PROXY does not have {caught}" if _kept(case) else "NO_PROXY is not set"
        summary = f"{proxy} is set for all users of this host, and {missing}"
        steps = (_EXTEND, _LOG_IN) if _kept(case) else None
        return Finding(summary, (shown,), Confidence.LIKELY, steps=steps)
    environ = case.environ
    said = next((line for _, line in lines(case) if SOMETHING_WRONG in line), "")
    proxy, caught = _proxy(environ, ("localhost", "127.0.0.1"))
    if said and caught and not case.seen.exchanges:
        summary = f"{proxy} is set without NO_PROXY for {caught}, so the client's requests to this host go to the proxy"
        shown_too = Evidence("environment", " ".join(_named(environ)))
        return Finding(summary, (Evidence("client", excerpt(said)), shown_too), Confidence.LIKELY, steps=_UNSET)
    old = version_key(case.seen.version or "9999") < CONNECTABLE
    if not old or "0.0.0.0" not in environ.get("OLLAMA_HOST", ""):  # noqa: S104 - compared, not bound
        return None
    proxy, caught = _proxy(environ, ("0.0.0.0",))  # noqa: S104 - compared, not bound
    if not caught:
        return None
    summary = f"the server has {proxy}, and its client, older than 0.18.3, dials 0.0.0.0 through that proxy"
    shown = Evidence("environment of the server", " ".join(_named(environ)))
    apply = Step(f"Apply the inventory, which sets HTTPS_PROXY only, and not {proxy}.", "{up}", Automate.ASK, "apply")
    return Finding(summary, (shown,), Confidence.LIKELY, steps=(apply,))


def _kept(case: HostEvidence) -> bool:
    """Whether a NO_PROXY is set, which must not be replaced."""
    return any(name.lower() == "no_proxy" and value for name, value in (case.traces.shell_proxies or {}).items())


def _proxy(environ: Mapping[str, str], wanted: tuple[str, ...]) -> tuple[str, str]:
    """The variable that catches plain HTTP, and the first of these hosts that it catches; empty when none."""
    named = {name.lower(): name for name, value in environ.items() if value}
    found = next((named[name] for name in ("http_proxy", "all_proxy") if name in named), "")
    excepted = {item.strip().lower() for item in environ.get(named.get("no_proxy", ""), "").split(",")}
    caught = next((host for host in wanted if found and not _excepted(host, excepted)), "")
    return found, caught


def _excepted(host: str, excepted: set[str]) -> bool:
    return bool({host, "*"} & excepted) or (
        host == "127.0.0.1" and bool({"127.0.0.0/8", "127.0.0.1/8", "127.*"} & excepted)
    )


def _named(environ: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in sorted(environ.items()) if name.lower().endswith("_proxy")]


SOMETHING_WRONG = "something went wrong, please see the ollama server logs"
_UNSET = (
    Step("Except this host from the proxy where the client runs.", "export NO_PROXY=localhost,127.0.0.1,::1,0.0.0.0"),
    Step(
        "Or unset HTTP_PROXY there: pulls need HTTPS_PROXY only, and the server does them.",
        "unset HTTP_PROXY http_proxy",
    ),
)
_LISTENS = Step("Check which program has the port.", "sudo ss -ltnp 'sport = :{port}'")
_CORRECT = Step("Correct `ollama_base_url` or `ollama_port` in the inventory, or stop the other program.")
_WEBUI = Step("Open WebUI passes requests on to Ollama's API under /ollama, for users with an API key.")
_EXCEPTIONS = "localhost,127.0.0.1,::1,0.0.0.0"
_EXTEND = Step(
    f"Add {_EXCEPTIONS} to NO_PROXY where it is set, and keep what it has.",
    "grep -in no_proxy /etc/environment /etc/profile.d/*",
)
_LOG_IN = Step("Log in again: only new sessions get the variable.")

RULES = (
    Rule(
        wrong_service_on_port,
        Severity.ERROR,
        steps=(_LISTENS, _CORRECT),
        explains=(str(State.NOT_OLLAMA),),
        needs=("ss.txt",),
    ),
    Rule(
        scheme_mismatch,
        Severity.ERROR,
        steps=(Step("Use {right}, in `ollama_base_url` and in clients."),),
        explains=(str(State.TLS),),
    ),
    Rule(
        proxy_env_intercepts_localhost,
        Severity.WARNING,
        steps=(
            Step(
                "Except this host from the proxy, in both spellings.",
                f"printf '%s\\n' NO_PROXY={_EXCEPTIONS} no_proxy={_EXCEPTIONS} | sudo tee -a /etc/environment",
            ),
            _LOG_IN,
        ),
    ),
)
