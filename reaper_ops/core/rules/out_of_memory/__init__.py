"""Memory of the host, its limits and the GPU (group C of the catalogue)."""

from reaper_ops.core.rules.rule import Rule

RULES: tuple[Rule, ...] = ()
