"""Why answers are slow (group D of the catalogue)."""

from reaper_ops.core.rules.rule import Rule

RULES: tuple[Rule, ...] = ()
