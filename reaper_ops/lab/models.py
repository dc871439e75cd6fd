"""The lab's models: small synthetic weights in a registry's directory. They speak noise."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.ollama.create import config_of
from reaper_ops.lab.ollama.store import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE
from reaper_ops.lab.ollama.web import dumps

MODELS = {
    "library/tiny:latest": gguf.Shape("tiny", seed=1),
    "library/small:latest": gguf.Shape("small", seed=2, embedding=128, layers=6, heads=8, kv_heads=4, feed_forward=384),
}
_TEMPLATE = "{{ if .System }}{{ .System }} {{ end }}{{ .Prompt }}"


def publish(root: Path, models: dict[str, gguf.Shape] | None = None) -> None:
    """Writes models into the registry's directory; what is already there stays."""
    for name, shape in (MODELS if models is None else models).items():
        path, _, tag = name.partition(":")
        target = root / "manifests" / path / tag
        if not target.exists():
            _publish(root, target, shape)


def _publish(root: Path, target: Path, shape: gguf.Shape) -> None:
    data = gguf.build(shape)
    layers = [
        _blob(root, data, LAYER_TYPE + "model"),
        _blob(root, _TEMPLATE.encode(), LAYER_TYPE + "template"),
        _blob(root, json.dumps({"stop": ["<s>"]}).encode(), LAYER_TYPE + "params"),
    ]
    header = gguf.read(str(root / "blobs" / layers[0]["digest"].replace(":", "-")))
    config = _blob(root, dumps(config_of(header)).encode(), CONFIG_TYPE)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(dumps(manifest).encode())


def _blob(root: Path, data: bytes, media: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    path = root / "blobs" / f"sha256-{digest}"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}
