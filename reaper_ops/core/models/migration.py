"""What a server from 0.40 on may write beside a model: at its first chat it rewrites models of some families.

Of which families cannot be told from a manifest, so every number is an upper bound. Source: Ollama's local migration
(compatmigrate: headroom of 512 MiB, a margin of a quarter, models with adapters are left alone).
"""

from __future__ import annotations

from reaper_ops.core.inventory.environment import version_key
from reaper_ops.core.inventory.releases import MANIFEST_LISTS
from reaper_ops.core.models.lock import Locked

HEADROOM = 512 << 20


def room(version: str, locked: Locked) -> int:
    """Bytes that must be free for it, without which the server leaves the model as it is; 0 where it rewrites none."""
    kinds = {layer.media_type.rpartition(".")[2] for layer in locked.layers}
    if version_key(version) < version_key(MANIFEST_LISTS) or "adapter" in kinds or "model" not in kinds:
        return 0
    size = sum(layer.size for layer in locked.layers if layer.media_type.endswith((".model", ".projector")))
    return size + size // 4 + HEADROOM
