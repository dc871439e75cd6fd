"""Free space for downloads, and what unfinished ones leave behind."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import disk, store
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.inventory.environment import GO_FALSE, version_key
from reaper_ops.core.values import human_bytes

SPARES = version_key("0.21.0")


def pull_disk_full(case: HostEvidence) -> Finding | None:
    """The file system of the model store is full.

    Ollama does not check free space before it pulls. An unfinished download keeps its space, so the disk stays full.

    Signals:
    - `write …/blobs/sha256-…-partial: no space left on device`

    Not to be confused with:
    - filesystem-readonly-or-inodes: the same words, with bytes free and no inode.
    - orphaned-blobs: blobs that no model uses, which can be removed.

    Sources:
    - https://github.com/ollama/ollama/issues/1731
    - https://github.com/ollama/ollama/issues/6727
    - recorded: pull-disk-full, disk-full-blob-post
    """
    room, reason = disk.of_store(case), reasons.why(case, "pull-disk-full")
    if room is not None and disk.inodes_gone(room):
        return None
    full = room is not None and room.free < disk.least(room)
    shown = (Evidence("statvfs", disk.spoken(room)),) if room else ()
    lying = store.own(case)
    held = sum(part.size for part in store.partials(lying)) if lying else 0
    if held:
        shown = (*shown, Evidence("model store", f"unfinished downloads of up to {human_bytes(held)}"))
    if reason is not None and (full or reason.now):
        return reasons.finding(case, reason, f"a pull failed: {case.models_dir} has too little free space", *shown)
    if not full or room is None:
        return None
    summary = (
        f"{room.mount} is full: {human_bytes(room.free)} free of {human_bytes(room.total)}; no model can be pulled"
    )
    if store.missing(case):
        return Finding(summary, shown)
    return Finding(summary, shown, severity=Severity.WARNING, steps=_MAKE_SPACE)


def pull_partial_corrupt(case: HostEvidence) -> Finding | None:
    """The files of an unfinished download are broken, and each new pull fails on them.

    Next to the data of a download, small files record how far each part got. After a full disk they are empty; the
    server reads them before it pulls, and fails with EOF. If they are intact, the next pull resumes the download.

    Signals:
    - `pulling manifest`, then `Error: EOF`

    Not to be confused with:
    - pull-lost-on-restart: the unfinished download is intact.
    - corrupt-manifest: a complete model is damaged.
    - pull-tls-garbage: `Get "https://…": EOF` comes from the registry.

    Sources:
    - https://github.com/ollama/ollama/issues/1731
    - server/download.go, server/images.go of Ollama
    """
    lying = store.own(case)
    broken = store.broken_parts(lying) if lying else []
    if broken:
        name = broken[0].name.partition("-partial")[0]
        shown = tuple(Evidence("model store", f"{b.name[:19]}{b.name[71:]}: {b.size} bytes") for b in broken[:3])
        files = "1 empty part file" if len(broken) == 1 else f"{len(broken)} empty part files"
        summary = f"the unfinished download {name[:19]} is broken: {files}"
        return Finding(summary, shown, values={"blob": name})
    reason = reasons.why(case, "pull-partial-corrupt")
    if reason is None or lying is not None:
        return None
    found = reasons.finding(
        case, reason, "a pull fails with EOF: the files of an earlier, unfinished download are broken"
    )
    return replace(found, confidence=Confidence.LIKELY, steps=(_LOOK, _AGAIN))


def pull_lost_on_restart(case: HostEvidence) -> Finding | None:
    """The next start of the server removes an unfinished download.

    When it starts, the server removes unfinished downloads: all of them before 0.21.0, since then those that were not
    written for an hour. It does not with OLLAMA_NOPRUNE, nor while a manifest is corrupt.

    Signals:
    - a pull that starts from zero after a restart; 60 GB are lost

    Not to be confused with:
    - pull-partial-corrupt: the unfinished download is broken, and cannot be resumed.
    - A download that is being written now is fine.

    Sources:
    - server/images.go of Ollama (PruneLayers, layerPruneGracePeriod)
    """
    lying, version = store.own(case), case.seen.version
    if lying is None or keeps(case) or any(manifest.error for manifest in lying.manifests):
        return None
    grace = 600 if version and version_key(version) < SPARES else store.GRACE
    idle = [part for part in store.partials(lying) if part.age is not None and part.age >= grace]
    if not idle:
        return None
    size = human_bytes(sum(part.size for part in idle))
    shown = tuple(
        Evidence(
            "model store", f"{p.name[:19]}-partial: {human_bytes(p.size)}, last written {(p.age or 0) // 60} min ago"
        )
        for p in idle[:3]
    )
    summary = f"an unfinished download (up to {size}) is idle; the next start of the server removes it"
    return Finding(summary, shown, Confidence.CERTAIN if version else Confidence.LIKELY)


def keeps(case: HostEvidence) -> bool:
    """Whether OLLAMA_NOPRUNE is set; Go reads everything but its own few words as true."""
    text = case.environ.get("OLLAMA_NOPRUNE", "").strip().strip("\"'")
    return bool(text) and text not in GO_FALSE


_AGAIN = Step("Pull what is missing.", "{up}", Automate.ASK, "apply")
_LOOK = Step(
    "Remove the empty part files while no pull runs.",
    "{sudo}find {models_dir}/blobs -name '*-partial-*' -size 0 -print -delete",
)
_MAKE_SPACE = (
    Step("See what uses the space.", "{inside}df -h {models_dir}; {sudo}du -xsh {models_dir}/blobs"),
    Step(
        "Remove models that nobody needs (`ollama rm`), enlarge the file system, or move the store with "
        "`ollama_models_dir` in the inventory."
    ),
)

RULES = (
    Rule(
        pull_disk_full,
        Severity.ERROR,
        steps=(
            *_MAKE_SPACE,
            _AGAIN,
        ),
        explains=(
            "pull-partial-corrupt",
            "pull-lost-on-restart",
            "pull-max-retries",
            "model-not-found",
            "model-missing",
        ),
        needs=("store.txt",),
    ),
    Rule(
        pull_partial_corrupt,
        Severity.ERROR,
        steps=(
            Step(
                "Remove the files of that download while no pull runs.",
                "{sudo}find {models_dir}/blobs -name '{blob}-partial*' -delete",
                Automate.ASK,
                "remove-partial",
            ),
            _AGAIN,
        ),
        explains=("pull-lost-on-restart", "model-not-found", "model-missing"),
        needs=("store.txt",),
    ),
    Rule(
        pull_lost_on_restart,
        Severity.WARNING,
        steps=(
            Step(
                "If the model is in `ollama_models`, pull it before the server restarts; the download resumes. For "
                "another model, repeat `ollama pull` with its name.",
                "{up}",
            ),
            Step(
                "Or keep the download over restarts: set `ollama_env: {OLLAMA_NOPRUNE: true}` in the inventory until "
                "the pull is complete."
            ),
            Step("If nobody needs the model, do nothing: the next start frees the space."),
        ),
        needs=("store.txt",),
    ),
)
