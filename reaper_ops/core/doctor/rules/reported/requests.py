"""Requests that do not arrive, or not whole: base URLs, proxies, prompts."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reported.finding import probed, reported
from reaper_ops.core.doctor.rules.rule import Rule


def prompt_truncated(case: HostEvidence) -> Finding | None:
    """Prompts are longer than the context, and the server cuts off their beginning.

    What is cut is the oldest part: system prompt, instructions, tool definitions, documents. The answer looks as if
    the model ignored them. The default context is 4096 tokens on small cards, whatever the model can do.

    Signals:
    - `truncating input prompt limit=4096 prompt=29312`
    - an agent that forgets its tools, a summary of the end of a document only

    Not to be confused with:
    - context-oversized: the context is larger than memory allows.

    Sources:
    - docs/faq.mdx of Ollama
    - https://github.com/ollama/ollama/issues/10368
    """
    found = reported(case, "prompt-truncated")
    if found is None:
        return None
    limit, prompt = found.values.get("limit", ""), found.values.get("prompt", "")
    if not (limit and prompt):
        return found
    summary = f"a prompt of {prompt} tokens is cut to the context of {limit}: its beginning is lost"
    size = 4096
    while size < int(prompt) + 1024 and size < 1 << 20:
        size *= 2
    return Finding(summary, found.evidence, found.confidence, {"context": str(size)})


def prompt_cache_unused(case: HostEvidence) -> Finding | None:
    """The server computes the whole prompt again for every request.

    The cache of the last prompt serves a request that begins with the same text. Models with sliding-window attention,
    multimodal requests, and clients that change the beginning of each prompt (a date, a shuffled tool list) lose it.

    Signals:
    - `forcing full prompt re-processing due to lack of cache data`
    - the time to the first token grows with the length of the conversation

    Not to be confused with:
    - cold-start-unload: the model itself is loaded again.

    Sources:
    - https://github.com/ggml-org/llama.cpp/pull/13194
    """
    return reported(case, "prompt-cache-unused")


def proxy_asks_login(case: HostEvidence) -> Finding | None:
    """A proxy in front of Ollama asks for a login.

    Ollama's own API knows no login and never answers 401 or 407. A reverse proxy, an access service or a company's
    proxy does.

    Signals:
    - `401 Authorization Required` from nginx, `401 Unauthorized` with `WWW-Authenticate`
    - a client that works on the host itself, and not by its public name

    Not to be confused with:
    - pull-unauthorized: the registry refuses a pull.
    - host-header-403: Ollama itself refuses the name.

    Sources:
    - RFC 9110, 15.5.2 and 15.5.8
    """
    return probed(case, "proxy-asks-login")


def redirect_to_https(case: HostEvidence) -> Finding | None:
    """The address that clients use redirects to another one, as http to https.

    Most clients turn a redirected POST into a GET without a body, or do not follow it at all.

    Signals:
    - `301 Moved Permanently`, `308 Permanent Redirect` with `Location: https://…`
    - GET works and POST fails

    Not to be confused with:
    - scheme-mismatch: the port speaks the other protocol, and does not redirect.

    Sources:
    - RFC 9110, 15.4.2
    """
    return probed(case, "redirect-to-https")


def base_url_has_path(case: HostEvidence) -> Finding | None:
    """The client's base URL ends in a path, so it asks for one that does not exist.

    Clients of Ollama's own API add /api/…, clients of the OpenAI API add /chat/completions to a base URL that ends in
    /v1. The wrong one of both gives /api/api/…, /v1/api/… or /v1/v1/….

    Signals:
    - `404 page not found` for `/v1/api/chat`, `/api/api/tags`
    - the server answers /api/version

    Not to be confused with:
    - proxy-400-404-path: a proxy changes the path.
    - model-not-found: the path is right, and the model is missing.

    Sources:
    - docs/openai.mdx of Ollama
    """
    return probed(case, "base-url-has-path")


RULES = (
    Rule(
        prompt_truncated,
        Severity.WARNING,
        steps=(
            Step(
                "Raise the context to what the prompts need: `num_ctx` {context} in the request's options, or"
                " OLLAMA_CONTEXT_LENGTH={context} for the server.",
                unknown="Raise the context to what the prompts need: `num_ctx` in the request's options, or"
                " OLLAMA_CONTEXT_LENGTH for the server.",
            ),
            Step("Check that the model still fits: a longer context needs more memory.", "{ollama} ps"),
            Step("Clients of /v1 cannot send num_ctx: set the variable, or PARAMETER num_ctx in a Modelfile."),
        ),
        explains=("client-timeout-too-short",),
        needs=("journal.log",),
    ),
    Rule(
        prompt_cache_unused,
        Severity.WARNING,
        steps=(
            Step("Keep the beginning of prompts the same: instructions first, what changes (date, query) last."),
            Step("If the model uses sliding-window attention, try a newer version, or a model with full attention."),
        ),
        needs=("journal.log",),
    ),
    Rule(
        proxy_asks_login,
        Severity.ERROR,
        steps=(
            Step("Give the client the login: an Authorization header, or user and password in its settings."),
            Step("Compare with the server itself, on its host.", "curl -i http://127.0.0.1:{port}/api/version"),
            Step("For clients on the same network, let them ask the server directly."),
        ),
        explains=("http-error", "not-ollama"),
        needs=("http",),
    ),
    Rule(
        redirect_to_https,
        Severity.ERROR,
        steps=(Step("Write the address that it redirects to, with https://, into the client's base URL."),),
        explains=("http-error", "not-ollama"),
        needs=("http",),
    ),
    Rule(
        base_url_has_path,
        Severity.ERROR,
        steps=(
            Step("For a client of Ollama's API, let the base URL end with the port: http://{host}:{port}"),
            Step("For a client of the OpenAI API, let it end with /v1, once."),
        ),
        explains=("http-error",),
        needs=("http",),
    ),
)
