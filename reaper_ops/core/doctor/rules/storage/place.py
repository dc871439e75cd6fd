"""The store is not where it should be, or its storage is missing, read-only or temporary."""

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
from reaper_ops.core.facts.model_store import ModelStore
from reaper_ops.core.facts.traces import DockerContainer
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.values import full_model_name

MADE_READ_ONLY = ("nfs", "cifs", "smb", "9p", "virtiofs", "squashfs", "erofs", "iso9660")
"""Only a person mounts these read-only: a store that many hosts share, and one of them fills."""
_ANONYMOUS = re.compile(r"^[0-9a-f]{64}\Z")


def models_split_between_users(case: HostEvidence) -> Finding | None:
    """The models are in another store than the server's.

    Each user has a store: the service, whoever ran `ollama serve` by hand, a container. A server that was started
    another way has none of the models.

    Signals:
    - all models disappeared; `ollama list` is empty after `ollama serve`

    Not to be confused with:
    - models-mount-missing: the disk of the store is not mounted.
    - A second store next to the right one is not a fault.

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
    docker = case.settings.ollama_runtime == "docker"
    where, inside = (" of the host", " of its container") if docker else ("", "")
    held = [m.name for m in best.manifests if not wanted or full_model_name(m.name) in wanted]
    if not held:
        return None
    shown = (
        Evidence("GET /api/tags", f"{len(case.seen.models or ())} models, from {case.models_dir}"),
        Evidence("model store", f"{best.path}: {', '.join(held[:3])}{' ...' if len(held) > 3 else ''}"),
    )
    return Finding(
        f"{held[0]} is in {best.path}{where}, and the server reads {case.models_dir}{inside}",
        shown,
        Confidence.CERTAIN if lacking else Confidence.LIKELY,
        {"path": best.path, "model": held[0]},
        None if lacking else Severity.WARNING,
    )


def _names(other: ModelStore) -> set[str]:
    return {full_model_name(manifest.name) for manifest in other.manifests if not manifest.error}


def models_mount_missing(case: HostEvidence) -> Finding | None:
    """The disk of the model store is not mounted.

    An external or network disk was missing when the host started, so the store is an empty directory on the root file
    system, and a pull fills that.

    Signals:
    - models disappear after a reboot, and are back after `mount`

    Not to be confused with:
    - models-split-between-users: the store is mounted, and the models are in another.
    - models-dir-permission: the empty mount point belongs to root, as a consequence.

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
        Evidence("findmnt", f"{path} is on {there.target} ({there.source})" if there else f"no mount at {target}")
    )
    return Finding(f"{target}, which holds the model store, is not mounted", tuple(shown), values={"path": target})


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def volume_not_persisted(case: HostEvidence) -> Finding | None:
    """The models are in the container itself, and are lost with it.

    No volume is mounted where the models are, or an anonymous one, which a new container does not get.

    Signals:
    - all models are lost after `docker rm`, `docker compose down -v` or a new image

    Not to be confused with:
    - models-split-between-users: the models still exist in another store.

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
    summary = f"the models of container {container.name} are on {what}: a new container starts without them"
    shown = (Evidence("docker inspect", f"Mounts: {mounts}; models in {models}"),)
    return Finding(summary, shown, values={"name": container.name, "path": models}, severity=weight(case))


def _our_container(case: HostEvidence) -> DockerContainer | None:
    if case.settings.ollama_runtime != "docker":
        return None
    serving = [c for c in case.traces.containers or () if c.serves]
    ours = case.facts.container.id if case.facts and case.facts.container else ""
    return next((c for c in serving if c.id == ours), None) or next(
        (c for c in serving if c.name == places.CONTAINER), None
    )


def filesystem_readonly_or_inodes(case: HostEvidence) -> Finding | None:
    """The store's file system accepts no new files: it is read-only, or has no free inodes.

    After a disk error the kernel remounts a file system read-only. Millions of small files use up the inodes; the error
    is then that of a full disk.

    Signals:
    - `mkdir /models/blobs: read-only file system`
    - `no space left on device` while `df -h` shows free space

    Not to be confused with:
    - a store that many hosts share read-only over the network, with all the desired models.
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
        return Finding(
            summary, shown, values={"path": mount.target}, severity=None if kernel else weight(case), steps=_READ_ONLY
        )
    if room is not None and disk.inodes_gone(room):
        shown = (Evidence("statvfs", f"{room.mount}: {room.inodes_free} of {room.inodes_total} inodes free"),)
        return Finding(
            f"{room.mount} has no free inodes, though bytes are free",
            shown,
            steps=_INODES,
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
    return Finding(
        f"{path} is read-only for the server", (*shown, *kernel), confidence, {"path": path}, weight(case), _READ_ONLY
    )


def _kernel(case: HostEvidence) -> tuple[Evidence, ...]:
    found = signatures.hits(("file-system-error",), case.facts.kernel if case.facts else None)
    return (Evidence("kernel log", excerpt(found[-1].line, 200)),) if found else ()


_READ_ONLY = (
    Step(
        "Look for disk errors in the kernel's log.",
        "sudo dmesg -T | grep -i -e 'ext4-fs error' -e 'i/o error' -e remounting",
    ),
    Step(
        "If there are some, save the data, check the disk, unmount it, repair it with fsck, and mount it again. If "
        "there are none, look for `ro` in /etc/fstab.",
        "findmnt -no SOURCE,OPTIONS -T {path}",
    ),
)
_INODES = (
    Step("See where the inodes are used.", "df -i {path}; sudo du --inodes -xd2 {path} | sort -n | tail"),
    Step("Remove files that nobody needs, or move the store with `ollama_models_dir` in the inventory."),
)

RULES = (
    Rule(
        models_split_between_users,
        Severity.ERROR,
        steps=(
            Step(
                "Use the store that has the models: set `ollama_models_dir: {path}` in the inventory and apply it.",
                "{up}",
            ),
            Step("Or pull the models into the server's store.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("model-not-found", "model-missing"),
        needs=("store.txt",),
    ),
    Rule(
        models_mount_missing,
        Severity.ERROR,
        steps=(
            Step("Mount it.", "sudo mount {path}", Automate.ASK, "mount"),
            Step("Restart the server, which then reads the mounted store.", "{restart}", Automate.ASK, "restart"),
            Step(
                "Converge the host: a unit of `up` starts only after the mount (RequiresMountsFor).",
                "{up}",
                Automate.ASK,
                "apply",
            ),
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
            Step(
                "Save the models while this container exists.",
                "docker exec {name} tar -C {path} -cf - . > ollama-models.tar",
            ),
            Step("Recreate the container with its volume.", "{up}", Automate.ASK, "apply"),
            Step(
                "Copy the models into the volume, and restart the container, which reads them when it starts.",
                "docker exec -i {name} tar -C {path} -xf - < ollama-models.tar && docker restart {name}",
            ),
        ),
        explains=("models-split-between-users", "model-not-found", "model-missing"),
        needs=("docker-inspect.json",),
    ),
    Rule(
        filesystem_readonly_or_inodes,
        Severity.ERROR,
        steps=(*_READ_ONLY, *_INODES),
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
