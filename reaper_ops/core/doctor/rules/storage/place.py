"""The store is not where it should be, or what it lies on is not there for good."""

from __future__ import annotations

import re

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import disk, store
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.pull import reasons
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.storage.access import refused, weight
from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.traces import DockerContainer, ModelStore
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.values import full_model_name

MADE_READ_ONLY = ("nfs", "cifs", "smb", "9p", "virtiofs", "squashfs", "erofs", "iso9660")
"""Nothing but a wish mounts these read-only: a store that many hosts share, and one of them fills."""
_ANONYMOUS = re.compile(r"^[0-9a-f]{64}\Z")


def models_split_between_users(case: HostEvidence) -> Finding | None:
    """The models lie in another store than the server's.

    Each user has a store of its own: the service, whoever ran `ollama serve` or `ollama pull` by hand, a container. A
    server that was started another way sees none of the models.

    Signals:
    - all models disappeared; `ollama list` is empty after `ollama serve`

    Not to be confused with:
    - models-mount-missing: the disk of the store is not mounted.
    - A second store beside a full one is no fault.

    Sources:
    - https://github.com/ollama/ollama/issues/1296
    - https://github.com/ollama/ollama/issues/6301
    - https://github.com/ollama/ollama/issues/6668
    """
    ours, lacking = store.own(case), store.missing(case)
    others = [s for s in case.traces.stores or () if s is not ours and any(not m.error for m in s.manifests)]
    empty = case.seen.models is not None and not case.seen.models
    if not others or not (lacking or empty):
        return None
    wanted = {full_model_name(name) for name in lacking}
    best = max(others, key=lambda s: (len(wanted & _names(s)), len(s.manifests)))
    held = [m.name for m in best.manifests if not wanted or full_model_name(m.name) in wanted]
    if not held:
        return None
    shown = (
        Evidence("GET /api/tags", f"{len(case.seen.models or ())} models, from {case.models_dir}"),
        Evidence("model store", f"{best.path}: {', '.join(held[:3])}{' ...' if len(held) > 3 else ''}"),
    )
    return Finding(
        f"{held[0]} lies in {best.path}, and the server looks into {case.models_dir}",
        shown,
        Confidence.CERTAIN if lacking else Confidence.LIKELY,
        {"path": best.path, "model": held[0]},
        None if lacking else Severity.WARNING,
    )


def _names(other: ModelStore) -> set[str]:
    return {full_model_name(manifest.name) for manifest in other.manifests if not manifest.error}


def models_mount_missing(case: HostEvidence) -> Finding | None:
    """The disk of the model store is not mounted.

    An external or network disk was not there when the machine started, so the store is an empty directory on the root
    file system, and a pull fills that.

    Signals:
    - models vanish after a reboot, and come back after `mount`

    Not to be confused with:
    - models-split-between-users: the store is where it should be, the models are in another.
    - models-dir-permission: the empty directory under the mount belongs to root; that is its consequence.

    Sources:
    - https://github.com/ollama/ollama/issues/3438
    - fstab(5), systemd.unit(5) on RequiresMountsFor
    """
    if case.traces.fstab is None or case.traces.mounts is None:
        return None
    path = disk.host_path(case)
    rows = [line.split() for line in case.traces.fstab.splitlines() if not line.lstrip().startswith("#")]
    wanted = [(_unescaped(row[1]), row) for row in rows if len(row) >= 3 and row[1].startswith("/") and row[1] != "/"]
    under = [(target, row) for target, row in wanted if store.below(path, target.rstrip("/"))]
    mounted = {mount.target.rstrip("/") for mount in case.traces.mounts}
    gone = [(target, row) for target, row in under if target.rstrip("/") not in mounted]
    if not gone:
        return None
    target, row = max(gone, key=lambda item: len(item[0]))
    there = disk.mount_of(case, path)
    shown = [Evidence("/etc/fstab", " ".join(row[:4]))]
    shown.append(
        Evidence("findmnt", f"{path} lies on {there.target} ({there.source})" if there else f"no mount at {target}")
    )
    return Finding(f"{target}, which holds the model store, is not mounted", tuple(shown), values={"path": target})


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def volume_not_persisted(case: HostEvidence) -> Finding | None:
    """The models lie in the container itself, and go with it.

    No volume is mounted where the models are, or an anonymous one, which a new container does not get.

    Signals:
    - all models are lost after `docker rm`, `docker compose down -v` or a new image

    Not to be confused with:
    - models-split-between-users: the models still lie somewhere.

    Sources:
    - https://github.com/ollama/ollama/issues/1671
    - docs/docker.mdx of Ollama
    """
    container = _our_container(case)
    if container is None:
        return None
    models = container.environ.get("OLLAMA_MODELS") or places.DOCKER_MODELS
    holding = [mount for mount in container.mounts if store.below(models, mount.target)]
    kept = [m for m in holding if m.kind == "bind" or (m.kind == "volume" and not _ANONYMOUS.match(m.source))]
    if kept:
        return None
    mounts = "; ".join(f"{m.kind} {m.source[:20]} at {m.target}" for m in container.mounts) or "none"
    what = "an anonymous volume" if any(m.kind == "volume" for m in holding) else "no volume"
    summary = f"the models of container {container.name} lie on {what}: a new container starts without them"
    shown = (Evidence("docker inspect", f"Mounts: {mounts}; models in {models}"),)
    return Finding(summary, shown, values={"name": container.name, "path": models})


def _our_container(case: HostEvidence) -> DockerContainer | None:
    if case.settings.ollama_runtime != "docker":
        return None
    serving = [c for c in case.traces.containers or () if c.serves]
    ours = case.facts.container.id if case.facts and case.facts.container else ""
    return next((c for c in serving if c.id == ours), None) or next(
        (c for c in serving if c.name == places.CONTAINER), None
    )


def filesystem_readonly_or_inodes(case: HostEvidence) -> Finding | None:
    """The file system of the store takes no new files: it is read-only, or has no inode left.

    After a disk error the kernel mounts a file system read-only. Millions of small files use up the inodes, and the
    words are then those of a full disk.

    Signals:
    - `mkdir /models/blobs: read-only file system`
    - `no space left on device` while `df -h` shows room

    Not to be confused with:
    - a store that many hosts share read-only over the network, while the models that are wished are there.
    - pull-disk-full: no bytes are free.
    - unit-sandbox-blocks: read-only for the server alone.

    Sources:
    - kernel-monitor.json of node-problem-detector
    - mount(8), errors=remount-ro
    """
    path, room = disk.host_path(case), disk.of_store(case)
    mount, kernel = disk.mount_of(case, path), _kernel(case)
    if mount is not None and "ro" in mount.options:
        if case.state is State.HEALTHY and not kernel and mount.fstype.startswith(MADE_READ_ONLY):
            return None
        shown = (
            Evidence("/proc/mounts", f"{mount.source} {mount.target} {mount.fstype} {','.join(mount.options)}"),
            *kernel,
        )
        summary = f"{mount.target}, which holds the model store, is mounted read-only"
        return Finding(summary, shown, values={"path": mount.target}, severity=None if kernel else weight(case))
    if room is not None and disk.inodes_gone(room):
        shown = (Evidence("statvfs", f"{room.mount}: {room.inodes_free} of {room.inodes_total} inodes free"),)
        return Finding(
            f"{room.mount} has no inodes left, though bytes are free",
            shown,
            values={"path": room.mount},
            severity=weight(case),
        )
    return _read_only(case, path, kernel)


def _read_only(case: HostEvidence, path: str, kernel: tuple[Evidence, ...]) -> Finding | None:
    """The mounts look right or were not read: what the server was told, and the kernel said."""
    hit, tried = refused(case), [d for d in case.traces.denied or () if d.error == "EROFS"]
    reason = reasons.why(case, "filesystem-readonly-or-inodes")
    shown = [Evidence("tried as the service's user", f"{d.need} {d.path}: EROFS") for d in tried[:1]]
    over = not tried and (case.traces.denied is not None or case.state is State.HEALTHY)
    if hit is not None and hit.signature.id == "models-dir-readonly" and not over:
        shown.append(Evidence("server log", excerpt(hit.line, 200)))
    shown += [reason.evidence] if reason else []
    if not shown:
        return None
    proven = bool(tried or kernel or reason)
    confidence = Confidence.CERTAIN if proven else Confidence.LIKELY
    return Finding(f"{path} is read-only for the server", (*shown, *kernel), confidence, {"path": path}, weight(case))


def _kernel(case: HostEvidence) -> tuple[Evidence, ...]:
    found = signatures.hits(("file-system-error",), case.facts.kernel if case.facts else None)
    return (Evidence("kernel log", excerpt(found[-1].line, 200)),) if found else ()


AGAIN = Step("Pull what is missing.", "{up}", Automate.ASK, "apply")

RULES = (
    Rule(
        models_split_between_users,
        Severity.ERROR,
        steps=(
            Step("Let the inventory name the store that has them, `ollama_models_dir: {path}`, then write it.", "{up}"),
            Step("Or have them pulled into the server's own store.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("model-not-found", "model-missing"),
        needs=("store.txt",),
    ),
    Rule(
        models_mount_missing,
        Severity.ERROR,
        steps=(
            Step("Mount it.", "sudo mount {path}", Automate.ASK, "mount"),
            Step("Let the service wait for it: our drop-in has RequiresMountsFor.", "{up}", Automate.ASK, "apply"),
            Step("Let the server look again.", "{restart}", Automate.ASK, "restart"),
        ),
        explains=(
            "models-split-between-users",
            "models-dir-permission",
            "filesystem-readonly-or-inodes",
            "pull-disk-full",
            "service-crash-looping",
            "service-not-running",
            "connection-refused",
            "model-not-found",
            "model-missing",
        ),
        needs=("mounts.txt",),
    ),
    Rule(
        volume_not_persisted,
        Severity.ERROR,
        steps=(
            Step("Copy the models out while this container exists.", "docker cp {name}:/root/.ollama ./ollama-saved"),
            Step("Make it anew with its volume.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("models-split-between-users", "model-not-found", "model-missing"),
        needs=("docker-inspect.json",),
    ),
    Rule(
        filesystem_readonly_or_inodes,
        Severity.ERROR,
        steps=(
            Step(
                "See what the kernel says.", "sudo dmesg -T | grep -i -e 'ext4-fs error' -e 'i/o error' -e remounting"
            ),
            Step(
                "Repair the file system (fsck, unmounted) and mount it again; or free inodes.",
                "df -i {path}; findmnt -no SOURCE,OPTIONS -T {path}",
            ),
        ),
        explains=(
            "models-dir-permission",
            "pull-disk-full",
            "service-crash-looping",
            "service-not-running",
            "connection-refused",
            "model-not-found",
            "model-missing",
        ),
        needs=("mounts.txt",),
    ),
)
