"""Storage, permissions, configuration that drifted (group G of the catalogue)."""

from reaper_ops.core.doctor.rules.storage import access, drift, place, sandbox

RULES = (
    *access.RULES,
    *sandbox.RULES,
    *place.RULES,
    *drift.RULES,
)
