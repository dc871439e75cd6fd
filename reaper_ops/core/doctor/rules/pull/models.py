"""Models in the store that are of no use: not for this version, damaged, or blobs of no model."""

from __future__ import annotations

import re
from dataclasses import replace

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import store
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.pull.free_space import keeps
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.store import Damage
from reaper_ops.core.health.probe import error_text
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.values import full_model_name, human_bytes

WORTH_A_WORD = 64 << 20
_BLOB = re.compile(r"sha256-[0-9a-f]{64}")
_NAME = re.compile(r"name=(\S+)")


def model_incompatible(case: HostEvidence) -> Finding | None:
    """This version of Ollama cannot load the model.

    The architecture is newer than the server, or the quantization is one that a newer server no longer reads.

    Signals:
    - `this model may be incompatible with your version of Ollama`
    - `unable to load model: unknown model architecture: 'qwen3next'`

    Not to be confused with:
    - pull-needs-newer-ollama: the registry refuses the pull.
    - corrupt-manifest: the file is damaged; `invalid file magic`, `exceeds file size`.

    Sources:
    - server/sched.go of Ollama
    """
    source, line = _refusal(case)
    if not line:
        return None
    said, model = Evidence(source, excerpt(line, 240)), _model_of(case, line)
    version = case.seen.version or (case.settings.ollama_version if case.settings.ollama_managed else "")
    which = f"Ollama {version}" if version else "this version of Ollama"
    summary = f"{model or 'a model'} cannot be loaded: {which} does not support it"
    return Finding(summary, (said,), values={"model": model} if model else {})


def _refusal(case: HostEvidence) -> tuple[str, str]:
    """Source and line: the API's answer, or the log of this run and not of a server of another version."""
    for exchange in case.seen.exchanges:
        hit = signatures.match("api", error_text(exchange)) if exchange.status else None
        if hit is not None and hit.signature.id == "model-incompatible":
            return f"POST {exchange.path}", hit.line
    log = (case.facts.journal if case.facts else None) or ""
    for line in reversed(log.splitlines() if signatures.stands_in("model-incompatible", log) else ()):
        if signatures.pattern("listening").search(line):
            return "", ""
        if signatures.pattern("model-incompatible").search(line):
            return "server log", line
    return "", ""


def _model_of(case: HostEvidence, text: str) -> str:
    lying, blob = store.own(case), _BLOB.search(text)
    if lying is None or blob is None:
        return ""
    return next((manifest.name for manifest in lying.manifests if blob[0] in manifest.layers), "")


def corrupt_manifest(case: HostEvidence) -> Finding | None:
    """A model in the store is damaged: its manifest cannot be read, or a blob is missing or truncated.

    A power loss or a full disk leaves files empty or short. A model with a broken manifest is no longer listed, and the
    server stops removing unused blobs. A model with a truncated blob stays in the list and cannot be loaded; pulling it
    again reports `success` and changes nothing, because the blob exists.

    Signals:
    - `corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear`
    - `bad manifest … error="unexpected EOF"`
    - `tensor "…" offset+size (134356480) exceeds file size (134303488)`, `invalid file magic`
    - HTTP 400 `does not support generate` for a model whose weights are gone, until the server is restarted

    Not to be confused with:
    - An unfinished download (`sha256-…-partial`) belongs to no manifest yet, and is not damage.
    - pull-partial-corrupt: an unfinished download is broken, not a complete model.
    - pull-digest-mismatch: the download was wrong from the start.

    Sources:
    - server/routes.go (Serve), manifest/manifest.go of Ollama
    - recorded: start-corrupt-manifest, weights-truncated, weights-missing, corrupt-store
    """
    lying = store.own(case)
    if lying is None:
        return _logged(case)
    found = store.damage(lying)
    if not found:
        return None
    first, others = found[0], sorted({d.manifest.name for d in found} - {found[0].manifest.name})
    shown = [Evidence("model store", f"{d.manifest.name}: {d.what}") for d in found[:4]]
    if case.log.complaint is not None and "corrupt-manifest" in case.log.complaint.signature.causes:
        shown.append(Evidence("server log", excerpt(case.log.complaint.line, 200)))
    also = f", and {len(others)} more" if others else ""
    return Finding(
        f"{first.manifest.name} is damaged: {first.what}{also}",
        tuple(shown),
        values={"model": first.manifest.name, "blob": first.blob, "path": first.manifest.path},
        steps=_steps(first),
    )


def _steps(damage: Damage) -> tuple[Step, ...]:
    if not damage.blob:
        return (Step("Remove the manifest.", "{sudo}rm {path}", Automate.ASK, "remove-model"), _AGAIN)
    return (_AGAIN, _RESTART) if damage.has is None else (_REMOVE, _AGAIN, _RESTART)


def _logged(case: HostEvidence) -> Finding | None:
    """Where the store was not read: the last word of the server's log."""
    hit = case.log.complaint
    if hit is None or "corrupt-manifest" not in hit.signature.causes:
        return None
    name, model = _NAME.search(hit.line), "a model"
    if name:
        model = name[1].removeprefix("registry.ollama.ai/").removeprefix("library/")
    promised = any(full_model_name(m) == full_model_name(model) for m in store.missing(case))
    return Finding(
        f"{model} is damaged in the store",
        (Evidence("server log", excerpt(hit.line, 240)),),
        Confidence.CERTAIN if promised else Confidence.LIKELY,
        {"model": model} if name else {},
        steps=(
            Step(
                "Remove {model} and pull it again.",
                "{ollama} rm {model}; {ollama} pull {model}",
                unknown="Find the damaged model with `ollama list`, remove it with `ollama rm`, and pull it again.",
            ),
        ),
    )


def orphaned_blobs(case: HostEvidence) -> Finding | None:
    """The store holds blobs that no model uses.

    OLLAMA_NOPRUNE keeps them, `ollama create` or `ollama rm` was interrupted, or a corrupt manifest stops the cleanup.

    Signals:
    - a full disk, and a short `ollama list`

    Not to be confused with:
    - Layers of a download that still runs: an unfinished file is next to them.
    - corrupt-manifest: with it, nobody knows which blobs are in use.

    Sources:
    - https://github.com/ollama/ollama/issues/18595
    - https://github.com/ollama/ollama/issues/12221
    - https://github.com/ollama/ollama/issues/15803
    """
    lying = store.own(case)
    unused = store.orphans(lying) if lying else []
    size = sum(blob.size for blob in unused)
    if not unused or (size < WORTH_A_WORD and not keeps(case)):
        return None
    shown = [Evidence("model store", f"{b.name[:19]}: {human_bytes(b.size)}, in no manifest") for b in unused[:3]]
    if keeps(case):
        shown.append(Evidence("environment of the server", f"OLLAMA_NOPRUNE={case.environ['OLLAMA_NOPRUNE']}"))
    count = "1 blob" if len(unused) == 1 else f"{len(unused)} blobs"
    belong = "belongs" if len(unused) == 1 else "belong"
    steps = (_PRUNE, _COMPARE) if keeps(case) else None
    return Finding(
        f"{count} of {human_bytes(size)} in {case.models_dir} {belong} to no model", tuple(shown), steps=steps
    )


_REMOVE = Step(
    "Remove the blob: a pull does not replace one that exists.",
    "{sudo}rm {models_dir}/blobs/{blob}",
    Automate.ASK,
    "remove-blob",
)
_AGAIN = Step("Pull it again.", "{ollama} pull {model}", Automate.ASK, "pull")
_RESTART = Step(
    "Restart the server, which keeps in memory what it could not read.", "{restart}", Automate.ASK, "restart"
)

_PRUNE = Step(
    "Remove OLLAMA_NOPRUNE from `ollama_env` in the inventory, or wherever it is set, and apply it: without it, the "
    "server removes unused blobs when it starts.",
    "{up}",
)
_COMPARE = Step(
    "If they remain, compare them with the manifests before you delete any.",
    "{sudo}find {models_dir}/blobs -name 'sha256-*' -mmin +60 -ls",
)

RULES = (
    Rule(
        model_incompatible,
        Severity.ERROR,
        steps=(
            Step(
                "Pull {model} again: the registry may have a newer file.",
                "{ollama} pull {model}",
                Automate.ASK,
                "pull",
                unknown="Pull the model that was asked for again (`ollama pull`): the registry may have a newer file.",
            ),
            Step(
                "Or check that the GPU driver supports a newer Ollama, raise `ollama_version` in the inventory, and "
                "apply it.",
                "{up}",
            ),
        ),
        needs=("journal.log",),
    ),
    Rule(
        corrupt_manifest,
        Severity.ERROR,
        steps=(
            replace(_REMOVE, text="If a blob is truncated, remove it: a pull does not replace a blob that exists."),
            _AGAIN,
            _RESTART,
        ),
        explains=("orphaned-blobs", "model-not-found", "model-missing"),
        needs=("store.txt",),
    ),
    Rule(
        orphaned_blobs,
        Severity.WARNING,
        steps=(
            Step(
                "Restart the server, which removes unused blobs when it starts.",
                "{restart}",
            ),
            _COMPARE,
        ),
        needs=("store.txt",),
    ),
)
