"""The registry answers, but not with the model."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core.doctor.finding import Automate, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def pull_manifest_not_found(case: HostEvidence) -> Finding | None:
    """The registry has no model of this name and tag.

    A typo, a tag that was removed, or a model of Hugging Face without its quantization.

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
    """The model requires a newer Ollama.

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
    summary = f"{reason.model or 'the model'} requires a newer Ollama than {case.seen.version or 'this one'}"
    return reasons.finding(case, reason, summary, *runs)


def pull_unauthorized(case: HostEvidence) -> Finding | None:
    """The registry wants a sign-in, or a proxy forbids the model.

    The model is private, and the account does not have the key of the server's user; or a company's proxy answers 403;
    or the clock is wrong, which makes the signature invalid.

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
    model = reason.model or "the model"
    if "<html" in reason.evidence.text.lower():
        found = reasons.finding(case, reason, f"a web page answers instead of the registry: a proxy forbids {model}")
        return replace(found, steps=_FORBIDDEN)
    if "no such file" in reason.evidence.text:
        summary = f"the server has no key to sign in to the registry with, so it cannot pull {model}"
        return replace(reasons.finding(case, reason, summary), steps=_NO_KEY)
    if "realm host" in reason.evidence.text:
        summary = f"the registry wants a sign-in for {model} that Ollama cannot do"
        return replace(reasons.finding(case, reason, summary), steps=_NO_REALM)
    return reasons.finding(case, reason, f"the registry refuses {model} to this server's key", key=_key(case))


def _key(case: HostEvidence) -> str:
    """The public key of the server's user; a container runs as root."""
    home = "/root" if case.settings.ollama_runtime == "docker" else case.environ.get("HOME") or ""
    if not home and case.settings.ollama_runtime == "process" and case.facts:
        home = case.facts.system.home
    return f"{home or '/usr/share/ollama'}/.ollama/id_ed25519.pub"


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
    return (
        reasons.finding(case, reason, "the registry limits the requests from this address (HTTP 429)")
        if reason
        else None
    )


def pull_redirect_blocked(case: HostEvidence) -> Finding | None:
    """The server follows no redirect to where the bytes are.

    0.34.2 follows none to another host, so no model of Hugging Face can be pulled; later releases follow those within
    ollama.com and Hugging Face. From 0.35.0 on, the target must be a public address: a name that only a proxy resolves
    is refused, and so will be a mirror over HTTPS at a private address.

    Signals:
    - `Head "https://us.aws.cdn.hf.co/…": blocked redirect to a different host`
    - `redirect target not allowed: …`

    Not to be confused with:
    - redirect-to-https: the address of this server redirects, not the registry.
    - pull-dns: the name of the registry itself is not resolved.

    Sources:
    - https://github.com/ollama/ollama/issues/18526
    - https://github.com/ollama/ollama/issues/18831
    """
    reason = reasons.why(case, "pull-redirect-blocked")
    if reason is None:
        return None
    model = reason.model or "the model"
    if "different host" in reason.evidence.text:
        return reasons.finding(case, reason, f"this release follows no redirect to another host, which has {model}")
    summary = f"the address that the registry names for {model} is not public, or only a proxy resolves it"
    return replace(reasons.finding(case, reason, summary), steps=_NOT_PUBLIC)


def pull_digest_mismatch(case: HostEvidence) -> Finding | None:
    """The download does not match its digest.

    A middlebox or virus scanner changes or empties the content, a caching proxy mixes parts, or memory or disk are
    faulty. The server removes the blob. The same wrong digest each time points to a cache, a different one to hardware.

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
        return reasons.finding(
            case, reason, "a blob arrived empty: something between the registry and the host drops the content"
        )
    return reasons.finding(
        case, reason, "a blob does not match its digest: it was changed on the way, or by this host's memory or disk"
    )


_FORBIDDEN = (
    Step("Ask whoever runs the proxy to allow {registry}, or name another proxy in `ollama_https_proxy`."),
    Step("Pull what is missing.", "{up}", Automate.ASK, "apply"),
)
_NO_KEY = (
    Step("Restart the server, which makes its key at the start.", "{restart}"),
    Step("Pull what is missing.", "{up}", Automate.ASK, "apply"),
)
_NO_REALM = (
    Step("Allow pulls without a sign-in at {registry}: Ollama signs in to a registry of its own kind only."),
    Step("Pull what is missing.", "{up}", Automate.ASK, "apply"),
)
_NOT_PUBLIC = (
    Step("Let the host resolve the registry's download names itself, not through the proxy alone."),
    Step("Or serve the models from a mirror over plain HTTP on the fleet's network: `ollama_mirror: http://…`."),
    Step("Pull what is missing.", "{up}", Automate.ASK, "apply"),
)
RULES = (
    Rule(
        pull_manifest_not_found,
        Severity.ERROR,
        steps=(
            Step(
                "Look the name and tag up at https://ollama.com/library; a model of Hugging Face is named "
                "`hf.co/user/repository:quantization`."
            ),
            Step("Correct `ollama_models` in the inventory and apply it.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("model-not-found", "model-missing"),
    ),
    Rule(
        pull_needs_newer_ollama,
        Severity.ERROR,
        steps=(
            Step(
                "Check that the GPU driver supports a newer Ollama, raise `ollama_version` in the inventory, apply it.",
                "{up}",
            ),
        ),
        explains=("model-not-found", "model-missing"),
    ),
    Rule(
        pull_unauthorized,
        Severity.ERROR,
        steps=(
            Step("Show the public key that the server signs in with.", "{sudo}cat {key}"),
            Step("Add it to the account that may pull the model, at https://ollama.com/settings/keys."),
            Step("Pull what is missing.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("model-not-found", "model-missing"),
    ),
    Rule(
        pull_rate_limited,
        Severity.ERROR,
        steps=(Step("Wait a few minutes, then pull again.", "{ollama} pull {model}", Automate.SAFE, "pull"),),
        explains=("pull-max-retries", "model-not-found", "model-missing"),
    ),
    Rule(
        pull_redirect_blocked,
        Severity.ERROR,
        steps=(
            Step(
                "Raise `ollama_version` in the inventory to 0.35.0 or later: 0.34.3 and 0.34.4 follow, but carry"
                " CVE-2026-103663.",
                "{up}",
                Automate.ASK,
                "apply",
            ),
        ),
        explains=("model-not-found", "model-missing"),
    ),
    Rule(
        pull_digest_mismatch,
        Severity.ERROR,
        steps=(
            Step("Pull again.", "{ollama} pull {model}", Automate.SAFE, "pull"),
            Step(
                "If it fails again, bypass the proxy or scanner, and look for faulty memory or disks.",
                "sudo dmesg -T | grep -i -e 'i/o error' -e mce",
            ),
        ),
        explains=("model-not-found", "model-missing"),
    ),
)
