"""The model store as it lies on the disk: whole models, damaged ones, remains of downloads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reaper_ops.core.doctor.rules.case import HostEvidence, once
from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.model_store import ModelStore, StoredBlob, StoredManifest
from reaper_ops.core.values import full_model_name, human_bytes

_WHOLE = re.compile(r"^sha256-[0-9a-f]{64}\Z")
_PARTIAL = re.compile(r"^(?P<blob>sha256-[0-9a-f]{64})-partial(?P<part>-\d+)?\Z")
SMALLEST_PART = 20
GRACE = 3600


@dataclass(frozen=True)
class Damage:
    """blob is empty where the manifest itself cannot be read; has is None where the blob is not there."""

    manifest: StoredManifest
    blob: str = ""
    wants: int = 0
    has: int | None = None

    @property
    def what(self) -> str:
        if not self.blob:
            return f"its manifest cannot be read ({self.manifest.error})"
        if self.has is None:
            return f"its blob {self.blob[:19]} is not there"
        return f"its blob {self.blob[:19]} has {human_bytes(self.has)} instead of {human_bytes(self.wants)}"


@once
def own(case: HostEvidence) -> ModelStore | None:
    """The server's own store; None where it was not read."""
    stores = case.traces.stores
    if stores is None:
        return None
    paths = _in_container(case) if case.settings.ollama_runtime == "docker" else {expanded(case, case.models_dir)}
    return next((store for store in stores if store.path.rstrip("/") in paths), None)


def _in_container(case: HostEvidence) -> set[str]:
    """Where the store of our container can lie on the host: a bind mount, or a named volume."""
    ours = case.facts.container.id if case.facts and case.facts.container else ""
    root = (case.facts.docker.root if case.facts and case.facts.docker else "") or places.DOCKER_ROOT
    found = set()
    for container in case.traces.containers or ():
        for mount in container.mounts if container.id == ours else ():
            if below(case.models_dir, mount.target):
                inside = case.models_dir[len(mount.target) :]
                there = mount.source if mount.source.startswith("/") else f"{root}/volumes/{mount.source}/_data"
                found.add(f"{there}{inside}".rstrip("/"))
    return found


def below(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies in it; never one with `..`, which a log line may name to lead elsewhere."""
    if ".." in path.split("/"):
        return False
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def unit_paths(unit: Mapping[str, str], *names: str) -> list[str]:
    """Paths of such properties of a unit; of `source:target` the target."""
    values = [unit.get(name, "") for name in names]
    return [_target(word.lstrip("-+")) for value in values for word in value.split()]


def _target(word: str) -> str:
    parts = word.split(":")
    return parts[1] if len(parts) > 1 and parts[1].startswith("/") else parts[0]


def expanded(case: HostEvidence, path: str) -> str:
    home = case.facts.system.home if case.facts else ""
    return (home + path[1:] if path.startswith("~/") and home else path).rstrip("/")


def damage(store: ModelStore) -> list[Damage]:
    """Manifests that cannot be read, and blobs that are missing or of another size. Downloads are not damage."""
    found = [Damage(manifest) for manifest in store.manifests if manifest.error]
    if store.blobs is None:
        return found
    sizes = {blob.name: blob.size for blob in store.blobs}
    for manifest in store.manifests:
        found += [
            Damage(manifest, name, wants, sizes.get(name))
            for name, wants in manifest.layers.items()
            if _WHOLE.match(name) and sizes.get(name) != wants
        ]
    return found


def partials(store: ModelStore) -> list[StoredBlob]:
    """Data of unfinished downloads, without the small files that say how far each part got."""
    return [blob for blob in store.blobs or () if (m := _PARTIAL.match(blob.name)) and not m["part"]]


def broken_parts(store: ModelStore) -> list[StoredBlob]:
    """Small files of a download that are too short to hold what they must."""
    found = ((blob, _PARTIAL.match(blob.name)) for blob in store.blobs or ())
    return [blob for blob, m in found if m and m["part"] and blob.size < SMALLEST_PART]


def orphans(store: ModelStore) -> list[StoredBlob]:
    """Whole blobs that no manifest names, older than a download takes; none while that cannot be told."""
    if store.blobs is None or any(manifest.error for manifest in store.manifests):
        return []
    if any(blob.age is None or blob.age < GRACE for blob in partials(store)):
        return []
    named = store.kept.union(*(manifest.layers for manifest in store.manifests))
    return [b for b in store.blobs if _WHOLE.match(b.name) and b.name not in named and (b.age or 0) >= GRACE]


def has_layer(store: ModelStore | None, layer: str) -> bool:
    """Whether the blob with these first digits is whole by now."""
    return store is not None and any(_WHOLE.match(b.name) and b.name[7:19] == layer for b in store.blobs or ())


@once
def there(case: HostEvidence) -> set[str]:
    """Full names of the models that the server lists, or that lie in its store."""
    names = {model.name for model in case.seen.models or ()}
    if case.facts is not None and case.seen.models is None:
        names |= set(case.facts.models_on_disk or ())
    return {full_model_name(name) for name in names}


def missing(case: HostEvidence) -> list[str]:
    """Promised models that the server does not list; empty when it lists nothing at all."""
    if case.seen.models is None:
        return []
    have = there(case)
    return [name for name in case.expected if full_model_name(name) not in have]
