"""Room for downloads, and what unfinished ones leave behind."""

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

    Ollama does not look before it pulls. An unfinished download keeps its place, so the disk stays full.

    Signals:
    - `write …/blobs/sha256-…-partial: no space left on device`

    Not to be confused with:
    - filesystem-readonly-or-inodes: the same words, with bytes free and no inode.
    - orphaned-blobs: what could be removed.

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
        return reasons.finding(case, reason, f"a pull found no room in {case.models_dir}", *shown)
    if not full or room is None:
        return None
    summary = (
        f"{room.mount} is full: {human_bytes(room.free)} free of {human_bytes(room.total)}; no model can be pulled"
    )
    return Finding(summary, shown, severity=None if store.missing(case) else Severity.WARNING)


def pull_partial_corrupt(case: HostEvidence) -> Finding | None:
    """The remains of a download are broken, and each new pull fails on them.

    Beside the data of a download lie small files that say how far each part got. When the disk was full, they are
    empty; the server reads them before it pulls, and ends with EOF. A download whose small files are whole is fine: the
    next pull goes on from there.

    Signals:
    - `pulling manifest`, then `Error: EOF`

    Not to be confused with:
    - pull-lost-on-restart: the remains are whole.
    - corrupt-manifest: a model that was finished once is damaged.
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
        summary = f"the remains of the download {name[:19]} are broken: {len(broken)} of its part files are empty"
        return Finding(summary, shown, values={"blob": name})
    reason = reasons.why(case, "pull-partial-corrupt")
    if reason is None or lying is not None:
        return None
    found = reasons.finding(case, reason, "a pull ends with EOF: the remains of an earlier download are broken")
    return replace(found, steps=(_LOOK, _AGAIN))


def pull_lost_on_restart(case: HostEvidence) -> Finding | None:
    """An unfinished download is lost with the next start of the server.

    At its start the server removes unfinished downloads: all of them before 0.21.0, since then those not written for an
    hour. It does not with OLLAMA_NOPRUNE, nor while a manifest is corrupt.

    Signals:
    - a pull that begins at zero after a restart; 60 GB gone

    Not to be confused with:
    - pull-partial-corrupt: the remains are of no use at all.
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
    summary = f"an unfinished download (up to {size}) lies idle; the next start of the server removes it"
    return Finding(summary, shown, Confidence.CERTAIN if version else Confidence.LIKELY)


def keeps(case: HostEvidence) -> bool:
    """Whether the server was told never to prune; Go reads all but its own few words as true."""
    text = case.environ.get("OLLAMA_NOPRUNE", "").strip().strip("\"'")
    return bool(text) and text not in GO_FALSE


_AGAIN = Step("Pull what is missing.", "{up}", Automate.ASK, "apply")
_LOOK = Step(
    "Remove part files that are empty, with no pull running.", "find {models_dir}/blobs -name '*-partial-*' -size 0"
)

RULES = (
    Rule(
        pull_disk_full,
        Severity.ERROR,
        steps=(
            Step("See what takes the room.", "df -h {models_dir}; sudo du -xsh {models_dir}/blobs"),
            Step("Remove models that nobody needs (`ollama rm`), or move the store: `ollama_models_dir`."),
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
                "Remove the remains, with no pull running.",
                "sudo find {models_dir}/blobs -name '{blob}-partial*' -delete",
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
                "Pull the missing models before any restart; each download goes on where it stopped.",
                "{up}",
                Automate.ASK,
                "apply",
            ),
            Step("Or keep it over a restart: `ollama_env: {OLLAMA_NOPRUNE: true}` in the inventory for that time."),
            Step("Or leave it to the next start, where nobody wants that model."),
        ),
        needs=("store.txt",),
    ),
)
