"""The registry answers, and not with the model."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def pull_manifest_not_found(case: HostEvidence) -> Finding | None:
    """The registry has no model of this name and tag.

    A typing error, a tag that was taken away, or a model of Hugging Face without its quantization.

    Signals:
    - `pull model manifest: file does not exist`

    Not to be confused with:
    - `file does not exist` alone: the manifest is there, one of its blobs is not.
    - pull-unauthorized: a private model answers 401.

    Sources:
    - server/images.go of Ollama (makeRequestWithRetry)
    - recorded: pull-unknown-model, pull-blob-404
    """
    reason = reasons.why(case, "pull-manifest-not-found")
    return reasons.finding(case, reason, f"the registry has no {reason.model or 'such model'}") if reason else None


def pull_needs_newer_ollama(case: HostEvidence) -> Finding | None:
    """The model wants a newer Ollama.

    The registry looks at the version of the server, not of the command line.

    Signals:
    - `pull model manifest: 412: … requires a newer version of Ollama.`

    Not to be confused with:
    - model-incompatible: the model was pulled, and cannot be loaded.

    Sources:
    - https://github.com/ollama/ollama/issues/16533
    - recorded: pull-registry-err412
    """
    reason = reasons.why(case, "pull-needs-newer-ollama")
    if reason is None:
        return None
    runs = (Evidence("GET /api/version", case.seen.version),) if case.seen.version else ()
    summary = f"{reason.model or 'the model'} wants a newer Ollama than {case.seen.version or 'this one'}"
    return reasons.finding(case, reason, summary, *runs)


def pull_unauthorized(case: HostEvidence) -> Finding | None:
    """The registry wants a sign-in, or a proxy forbids it.

    The model is private, and the key of the service's user is not known to the account; or a company's proxy answers
    403; or the clock is off, which spoils the signature.

    Signals:
    - `unauthorized: access denied`, `pull model manifest: 403: …`
    - `realm host "" does not match original host`: a registry that says 401 without a way to sign in
    - `open …/.ollama/id_ed25519: no such file or directory`

    Not to be confused with:
    - pull-x509-time: the clock is off.
    - pull-manifest-not-found: 404.

    Sources:
    - https://github.com/ollama/ollama/issues/2622
    - https://github.com/ollama/ollama/issues/3336
    - recorded: pull-registry-err401, err401b, err401c
    """
    reason = reasons.why(case, "pull-unauthorized")
    if reason is None:
        return None
    if "<html" in reason.evidence.text.lower():
        return reasons.finding(case, reason, "a web page answers 403 in the registry's place: a proxy forbids it")
    return reasons.finding(case, reason, f"the registry does not let this server have {reason.model or 'the model'}")


def pull_rate_limited(case: HostEvidence) -> Finding | None:
    """The registry limits this host or its network.

    Many hosts behind one address pull at once, or one host pulls again and again.

    Signals:
    - `pull model manifest: 429: {"errors":[{"code":"TOOMANYREQUESTS",…`

    Not to be confused with:
    - queue-full-503: the host's own server is busy.

    Sources:
    - docs/api/errors.mdx of Ollama
    - recorded: pull-registry-err429
    """
    reason = reasons.why(case, "pull-rate-limited")
    return reasons.finding(case, reason, "the registry says that this address asks too often (429)") if reason else None


def pull_digest_mismatch(case: HostEvidence) -> Finding | None:
    """What was downloaded is not what the registry meant to send.

    A middlebox or virus scanner changes or empties bodies; a caching proxy mixes parts; or memory or disk are bad. The
    server removes the blob. The same wrong digest each time speaks for a cache, another one each time for hardware.

    Signals:
    - `digest mismatch, file must be downloaded again: want sha256:…, got sha256:…`

    Not to be confused with:
    - corrupt-manifest: the damage came later, to a model that was whole.

    Sources:
    - https://github.com/ollama/ollama/issues/8105
    - https://github.com/ollama/ollama/issues/9846
    - recorded: pull-digest-mismatch
    """
    reason = reasons.why(case, "pull-digest-mismatch")
    if reason is None:
        return None
    if reason.groups.get("got") == NOTHING:
        return reasons.finding(case, reason, "an empty file came instead of a blob: something on the way drops bodies")
    return reasons.finding(
        case, reason, "a blob came that is not what its digest says: it was changed on the way, or here"
    )


RULES = (
    Rule(
        pull_manifest_not_found,
        Severity.ERROR,
        steps=(
            Step("Look the name and tag up at https://ollama.com/library; of Hugging Face: hf.co/ORG/REPO:QUANT."),
            Step("Correct `ollama_models` in the inventory, then pull.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("model-not-found", "model-missing"),
    ),
    Rule(
        pull_needs_newer_ollama,
        Severity.ERROR,
        steps=(Step("Raise `ollama_version` in the inventory; look first whether the GPU driver suits it.", "{up}"),),
        explains=("model-not-found", "model-missing"),
    ),
    Rule(
        pull_unauthorized,
        Severity.ERROR,
        steps=(
            Step("See the key that the service signs with.", "sudo cat ~ollama/.ollama/id_ed25519.pub"),
            Step("Add it to the account at https://ollama.com/settings/keys, or allow the registry in the proxy."),
        ),
        explains=("model-not-found", "model-missing"),
    ),
    Rule(
        pull_rate_limited,
        Severity.ERROR,
        steps=(Step("Wait some minutes, then pull again.", "{ollama} pull {model}", Automate.SAFE, "pull"),),
        explains=("pull-max-retries", "model-not-found", "model-missing"),
    ),
    Rule(
        pull_digest_mismatch,
        Severity.ERROR,
        steps=(
            Step("Pull once more.", "{ollama} pull {model}", Automate.SAFE, "pull"),
            Step(
                "Where it fails so again: go around the proxy or scanner; look for bad memory or disk.",
                "sudo dmesg -T | grep -i -e 'i/o error' -e mce",
            ),
        ),
        explains=("model-not-found", "model-missing"),
    ),
)
