"""Model stores as a server from 0.40 on leaves them, in files written by hand.

After its source (manifest/manifest.go: LinkManifest, WriteManifestList; manifest/downgrade_test.go; the migration), not
after a server that ran: blobs hold manifests, a tag is a relative link to one, and a file for older servers is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.ollama.manifest.list.v2+json"
MODEL = "application/vnd.ollama.image.model"
CONFIG = "application/vnd.docker.container.image.v1+json"


def blob(store: Path, data: bytes) -> str:
    """The digest under which the store now has these bytes."""
    digest = hashlib.sha256(data).hexdigest()
    (store / "blobs").mkdir(parents=True, exist_ok=True)
    (store / f"blobs/sha256-{digest}").write_bytes(data)
    return f"sha256:{digest}"


def path_of(store: Path, digest: str) -> Path:
    return store / "blobs" / digest.replace(":", "-")


def layer(store: Path, text: str, media: str = MODEL) -> dict[str, Any]:
    return {"mediaType": media, "digest": blob(store, text.encode()), "size": len(text.encode())}


def manifest(store: Path, text: str, **more: Any) -> bytes:
    """The manifest of a model whose weights are this text. more: further keys, as a migration adds them."""
    config = layer(store, '{"model_format":"gguf"}', CONFIG)
    whole = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer(store, text)], **more}
    return as_go(whole)


def as_go(document: dict[str, Any]) -> bytes:
    """As Go's encoding/json writes it, and registries keep it."""
    return json.dumps(document, separators=(",", ":")).encode()


def listing(*children: tuple[str, str]) -> bytes:
    """A list of (digest, engine)."""
    rows = [
        {"mediaType": MANIFEST, "digest": digest, "runner": engine, "format": "gguf"} for digest, engine in children
    ]
    return as_go({"schemaVersion": 2, "mediaType": LIST, "manifests": rows})


def linked(store: Path, data: bytes, name: str) -> Path:
    """The entry of a name such as `ollama.com/library/tiny/latest`, which links to the blob with these bytes."""
    entry = store / "manifests-v2" / name
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.unlink(missing_ok=True)
    entry.symlink_to(os.path.relpath(path_of(store, blob(store, data)), entry.parent))
    return entry


def legacy(store: Path, data: bytes, name: str) -> Path:
    entry = store / "manifests" / name
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_bytes(data)
    return entry


@dataclass(frozen=True)
class Migrated:
    """What a migration leaves of one model: digests of the list, of both its manifests, and of the new weights.

    published: the digest of what was pulled, which is nowhere in the store now.
    """

    entry: Path
    published: str
    listed: str
    old: str
    new: str
    weights: str
    shadow: str


def migrated(store: Path, model: str = "tiny", text: str = "weights") -> Migrated:
    published = hashlib.sha256(manifest(store, text)).hexdigest()
    old = manifest(store, text, runner="ggml", format="gguf")
    new = manifest(store, f"{text}, converted", runner="llamacpp", format="gguf")
    old_digest, new_digest = blob(store, old), blob(store, new)
    data = listing((old_digest, "ggml"), (new_digest, "llamacpp"))
    anchor = json.loads(old)
    rows = [(LIST, data), (MANIFEST, old), (MANIFEST, new)]
    anchor["layers"] += [{"mediaType": kind, "digest": blob(store, raw), "size": len(raw)} for kind, raw in rows]
    legacy(store, json.dumps(anchor).encode(), f"registry.ollama.ai/library/{model}/latest")
    tag = new_digest.removeprefix("sha256:")
    legacy(store, new, f"registry.ollama.ai/library/llamacpp/{tag}")
    entry = linked(store, data, f"ollama.com/library/{model}/latest")
    weights = json.loads(new)["layers"][0]["digest"]
    return Migrated(entry, f"sha256:{published}", blob(store, data), old_digest, new_digest, weights, f"llamacpp:{tag}")
