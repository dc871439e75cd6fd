"""Answers of servers and registries, read as the types that they may have: one file for hosts and the controller."""

from __future__ import annotations

from typing import Any

from reaper_ops import assets

_SHARED = assets.shared("reaper_answers")

BIGGEST: int = _SHARED.BIGGEST
MANIFEST: int = _SHARED.MANIFEST
NoManifest: Any = _SHARED.NoManifest
complaint: Any = _SHARED.complaint
count: Any = _SHARED.count
digest: Any = _SHARED.digest
digits: Any = _SHARED.digits
document: Any = _SHARED.document
escaped: Any = _SHARED.escaped
is_name: Any = _SHARED.is_name
layers: Any = _SHARED.layers
mapping: Any = _SHARED.mapping
rows: Any = _SHARED.rows
version: Any = _SHARED.version
whole: Any = _SHARED.whole
words: Any = _SHARED.words
