"""Where a model store keeps its manifests: one file for hosts and the controller."""

from __future__ import annotations

from typing import Any

from reaper_ops import assets

_SHARED = assets.shared("reaper_layout")

ROOTS: tuple[str, ...] = _SHARED.ROOTS
children: Any = _SHARED.children
is_shadow: Any = _SHARED.is_shadow
parts_of: Any = _SHARED.parts_of
places: Any = _SHARED.places
