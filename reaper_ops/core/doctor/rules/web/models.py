"""A model that is missing, runs in the cloud, or cannot do what a request needs."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import replace

from reaper_ops.core import typed
from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.reachability import port_conflicts
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.probe import error_text
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.inventory.environment import GO_TRUE
from reaper_ops.core.values import full_model_name

SIGN_IN = '"signin_url"'
EMBEDDING = ("bert", "embed", "minilm", "rerank")


def _missing(case: HostEvidence) -> list[str]:
    there = {full_model_name(model.name) for model in case.seen.models or ()}
    return [name for name in case.expected if full_model_name(name) not in there]


def model_not_found(case: HostEvidence) -> Finding | None:
    """A model of the inventory is not in the server's store.

    Nobody pulled it, somebody removed it, or its name is slightly wrong: `llama3` means `llama3:latest`. Or the server
    uses another store than the one that has it.

    Signals:
    - 404 `model 'x' not found`; older: `model "x" not found, try pulling it first`
    - in the OpenAI API: 404 with `"type": "not_found_error"`

    Not to be confused with:
    - cloud-model-error: a model that ends in `cloud` runs elsewhere, and its refusal names the cloud.
    - models-split-between-users: the server lists nothing, and another store on the host has it.
    - second-instance: another Ollama, with a store of its own, answers on the port.
    - capability-400: the model exists, and lacks the capability.

    Sources:
    - server/routes.go of Ollama
    - https://github.com/ollama/ollama/issues/2132
    """
    verdict = case.verdict_of("model-not-found")
    missing = _missing(case)
    if verdict is None or not missing or port_conflicts.usurper(case) is not None:
        return None
    listed = [model.name for model in case.seen.models or ()]
    near = difflib.get_close_matches(missing[0], listed, n=1, cutoff=0.75)
    summary = f"missing {'model' if len(missing) == 1 else 'models'}: {', '.join(missing)}"
    if not near:
        return Finding(summary, verdict.evidence, values={"model": missing[0]})
    values = {"model": missing[0], "like": near[0]}
    return Finding(f"{summary}; a similar one exists: {near[0]}", verdict.evidence, values=values, steps=_SIMILAR)


def cloud_model_error(case: HostEvidence) -> Finding | None:
    """A model that runs in Ollama's cloud does not answer; the host itself is healthy.

    The server is not signed in, the plan's quota is used up, the cloud is busy, or it is disabled here
    (`ollama_no_cloud`).

    Signals:
    - 401 `{"error": "unauthorized", "signin_url": ...}`
    - 403 `ollama cloud is disabled: remote model is unavailable`
    - 503 `Server overloaded, please retry shortly (ref: ...)`; 429; 502 as JSON

    Not to be confused with:
    - queue-full-503: `maximum pending requests exceeded` is this server's own queue.
    - proxy-502: a page of the proxy, not JSON.

    Sources:
    - https://github.com/ollama/ollama/issues/15934
    - server/routes.go of Ollama
    """
    off = _cloud_off(case)
    for shown, text in _answered(case):
        hit = signatures.match("api", text)
        if SIGN_IN in text or (hit is not None and hit.signature.id == "cloud-error"):
            error = _error(text)
            summary = f"a model in Ollama's cloud does not answer: {excerpt(error, 120)}"
            step = _SIGN_IN if SIGN_IN in text else _CLOUD_OFF if "disabled" in error else _CLOUD_BUSY
            return Finding(summary, (shown, off) if off else (shown,), steps=(step,))
    return None


def _error(text: str) -> str:
    """`unauthorized` out of the body that also says where to sign in."""
    found = re.search(r'"error":\s*"([^"]*)"', text)
    return found[1] if found else text


def _cloud_off(case: HostEvidence) -> Evidence | None:
    lines = [hit for hit in case.log_hits if hit.signature.id == "cloud-off"]
    if lines and lines[-1].groups["off"] == "true":
        return Evidence("server log", "Ollama cloud disabled: true")
    if case.environ.get("OLLAMA_NO_CLOUD", "") in GO_TRUE:
        return Evidence("environment", f"OLLAMA_NO_CLOUD={case.environ['OLLAMA_NO_CLOUD']}")
    return None


def _answered(case: HostEvidence) -> Iterator[tuple[Evidence, str]]:
    """Every refusal of a model that was seen, with its text."""
    for exchange in case.seen.exchanges:
        if exchange.status is not None and exchange.status >= 400:
            yield exchange_evidence(exchange), exchange.body if SIGN_IN in exchange.body else error_text(exchange)
    for timing in case.traces.timings or ():
        if timing.error:
            yield Evidence(f"POST /api/generate, {timing.model}", excerpt(timing.error)), timing.error


def capability_400(case: HostEvidence) -> Finding | None:
    """A request needs a capability that the model does not have.

    Not every model chats, thinks, calls tools or makes embeddings. The server reports that, and is healthy.

    Signals:
    - 400 `"x" does not support chat`, `generate`, `tools` or `thinking`

    Not to be confused with:
    - an embedding model that refuses to generate: it is not made for that, and nothing is wrong.
    - pull-partial-corrupt: missing or unreadable weights cause the same 400 for a model that has the capability.
    - model-not-found: 404.

    Sources:
    - server/routes.go and server/images.go of Ollama
    """
    for shown, text in _answered(case):
        hit = signatures.match("api", text)
        if hit is None or hit.signature.id != "capability":
            continue
        name = next((row.name for row in case.seen.loaded or () if row.name in text), "")
        if _embeds(case, name or text) or _damaged(case, name):
            return None
        return Finding(
            f"a request needs a capability that the model lacks: {excerpt(text, 120)}",
            (shown,),
            Confidence.LIKELY,
            {"model": name} if name else {},
        )
    return None


def _embeds(case: HostEvidence, name: str) -> bool:
    """Made for embeddings, by what /api/tags says of it, or by its name."""
    rows = [row for e in case.seen.exchanges if e.path == "/api/tags" for row in _rows(e.body)]
    described = next((json.dumps(row).lower() for row in rows if row.get("name") == name), name.lower())
    return any(word in described for word in EMBEDDING) and '"completion"' not in described


def _rows(body: str) -> list[dict[str, object]]:
    rows = typed.mapping(body).get("models")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _damaged(case: HostEvidence, name: str) -> bool:
    """A layer of it is not in the store, or shorter than it should be."""
    for store in case.traces.stores or ():
        sizes = {blob.name: blob.size for blob in store.blobs or ()}
        for manifest in store.manifests:
            if store.blobs is not None and name and full_model_name(manifest.name) == full_model_name(name):
                return any(sizes.get(layer, -1) < size for layer, size in manifest.layers.items())
    return False


_SIGN_IN = Step("Sign the server in: this prints an address to open in a browser.", "{ollama} signin")
_CLOUD_OFF = Step(
    "Use a local model, or enable the cloud with `ollama_no_cloud: false` in the inventory; then apply.", "{up}"
)
_CLOUD_BUSY = Step("Wait and try again, and check the usage of your plan at https://ollama.com/settings.")
_SIMILAR = (
    Step("If the name is wrong, correct it in `ollama_models`: the server has {like}.", "{ollama} list"),
    Step("Then apply, which pulls what is missing.", "{up}", Automate.ASK, "apply"),
)

RULES = (
    Rule(
        model_not_found,
        Severity.ERROR,
        steps=(
            Step("Pull it, as the inventory configures it.", "{up}", Automate.ASK, "apply"),
            Step(
                "If the name is wrong, correct it in `ollama_models`. This lists what the server has.", "{ollama} list"
            ),
        ),
        explains=("model-missing",),
        needs=("http",),
    ),
    Rule(
        cloud_model_error,
        Severity.ERROR,
        steps=(
            _SIGN_IN,
            replace(_CLOUD_OFF, text=f"If the cloud is disabled: {_CLOUD_OFF.text}"),
            replace(_CLOUD_BUSY, text=f"If the cloud is busy: {_CLOUD_BUSY.text}"),
        ),
        explains=("overloaded", "degraded", "queue-full-503"),
    ),
    Rule(
        capability_400,
        Severity.WARNING,
        steps=(
            Step(
                "Check which capabilities it has.",
                'curl -s http://127.0.0.1:{port}/api/show -d \'{"model": "{model}"}\'',
                unknown="Check which capabilities it has: `ollama show` with its name lists them.",
            ),
            Step("Choose a model with that capability in the client."),
        ),
        needs=("store.txt",),
        question="Does a client of {host} report `does not support chat`, `tools` or `thinking`, and for which model?",
    ),
)
