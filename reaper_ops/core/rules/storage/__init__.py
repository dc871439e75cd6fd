"""Storage, permissions, configuration that drifted (group G of the catalogue)."""

from reaper_ops.core.rules.rule import Rule

RULES: tuple[Rule, ...] = ()
